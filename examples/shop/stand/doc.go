// Package stand runs the shop with all its dependencies, and can break each of these.
//
// In: the built programs, an Envoy, and the installed PostgreSQL and Redis.
// Out: a running shop on its own loopback address.
// Called by: the demonstration, the end-to-end test and the benchmark of the shop.
// Never: leaves a process or a file behind, or uses a server that it has not started.
// Concurrency: several stands can run at once; one stand is for one goroutine.
package stand
