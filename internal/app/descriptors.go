//go:build unix

package app

import (
	"math"
	"syscall"
)

// descriptors are how many connections there may be, of each port.
type descriptors struct{ proxies, people int }

// splitDescriptors shares out the file descriptors of the process, so that no port can take
// those of the other one, or those that reading policies needs. 0: there is no bound.
func splitDescriptors() descriptors {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil || limit.Cur > math.MaxInt32 {
		return descriptors{people: maxPeople}
	}
	return split(int(limit.Cur))
}

const (
	// maxPeople is how many connections people, Prometheus and readiness probes have at most.
	maxPeople = 512
	// ownFiles are for policies, certificates, state, and who watches them.
	ownFiles = 64
)

func split(files int) descriptors {
	own := min(ownFiles, files/4)
	people := min(maxPeople, (files-own)/4)
	return descriptors{proxies: files - own - people, people: people}
}
