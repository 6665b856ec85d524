// Package stand sets the shop up with everything that it needs, and takes parts of it away.
//
// In: the built programs, an Envoy, PostgreSQL and Redis of the system.
// Out: a running shop on a loopback address of its own.
// Called by: the demonstration, the end-to-end test and the benchmark of the shop.
// Never: leaves a process or a file behind, or uses a server that it has not started.
// Concurrency: stands do not touch one another; one stand is for one goroutine.
package stand
