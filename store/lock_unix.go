//go:build unix && !solaris && !aix

package store

import (
	"os"
	"syscall"
)

// flock takes the lock of f for this process, until f is closed or the process ends, even by a crash. It does not wait: it
// reports false if another process has the lock.
func flock(f *os.File) (held bool, err error) {
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == syscall.EWOULDBLOCK {
		return false, nil
	}
	return err == nil, err
}
