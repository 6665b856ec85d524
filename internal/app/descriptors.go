//go:build unix

package app

import (
	"math"
	"syscall"
)

// limits has the largest number of connections of each port; 0: no limit.
type limits struct{ xds, http int }

// connectionLimits divides the file descriptors of the process among the ports and its own files. So no port can take the
// descriptors of the other port, or the descriptors that reading a policy needs.
func connectionLimits() limits {
	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) != nil || files.Cur > math.MaxInt32 {
		return limits{http: maxHTTP}
	}
	return divide(int(files.Cur))
}

const (
	// maxHTTP is the largest number of connections of the HTTP port, which serves operators, Prometheus and
	// readiness probes.
	maxHTTP = 512
	// ownFiles is the number of descriptors for policies, certificates and state, and for watching them.
	ownFiles = 64
)

// divide divides a number of file descriptors.
func divide(files int) limits {
	own := min(ownFiles, files/4)
	http := min(maxHTTP, (files-own)/4)
	return limits{xds: files - own - http, http: http}
}
