// Package core knows the breakers of all replicas: where each one is, the state that it has, and what is on its way to it.
//
// In: views of the members, leases and beats; transitions of this replica's engine; states, reports and handovers of other replicas.
// Out: the place of each breaker; messages for other replicas; breakers that the engine takes over or leaves.
// Called by: peers.
// Never: decides about a call, and never makes a change by hand.
// Concurrency: a [Core] is for one goroutine at a time, which peers sees to by its lock. A few methods say that they need no lock.
package core
