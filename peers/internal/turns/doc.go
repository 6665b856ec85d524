// Package turns says which replica deals the permits of a half-open breaker whose calls are connections.
//
// No replica can be asked before a connection is made, so these permits are numbers of connections, which a replica deals among its
// proxies. Each half-open state is the turn of one replica: only that one deals permits, so that their number does not grow with the
// number of replicas.
//
// In: the replicas whose proxies have refused calls.
// Out: the replica whose turn it is.
// Called by: peers/internal/core.
// Never: counts permits.
// Concurrency: [Turns] is for one goroutine at a time.
package turns
