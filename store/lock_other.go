//go:build !unix || solaris || aix

package store

import (
	"errors"
	"os"
)

// flock has no lock to offer that ends with the process.
func flock(*os.File) (held bool, err error) { return false, errors.ErrUnsupported }
