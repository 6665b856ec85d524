//go:build !unix || solaris || aix

package store

import (
	"errors"
	"os"
)

// flock always fails, because these systems have no lock that ends with its process.
func flock(*os.File) (held bool, err error) { return false, errors.ErrUnsupported }
