//go:build !unix

package app

// descriptors are how many connections there may be, of each port.
type descriptors struct{ proxies, people int }

// maxPeople is how many connections people, Prometheus and readiness probes have at most.
const maxPeople = 512

// splitDescriptors has nothing to share out where processes have no bound on open files.
func splitDescriptors() descriptors { return descriptors{people: maxPeople} }
