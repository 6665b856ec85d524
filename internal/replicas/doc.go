// Package replicas makes a control plane one of several that share their breakers: it connects the router of breakers with a source of
// members, with the store, and with the connections between replicas.
//
// In: where the store or the addresses of the replicas are; the engine of this process; certificates.
// Out: the breakers of all replicas, as a [peers.Router].
// Called by: the app.
// Never: decides about a breaker.
// Concurrency: safe for concurrent use after [New].
package replicas
