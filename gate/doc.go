// Package gate computes the gates of breakers: whether proxies must reject calls, let some of them ask for permits, or
// bound connections, and how densely they must log.
//
// In: a policy, the status of breakers, their calls per second, and the reports of proxies about upstreams that speak TCP.
// Out: a [Set] of gates as values, which xds renders as runtime layers, and the time at which they change without a new input.
// Called by: package publisher, which decides when to compute them.
// Never: queries an engine or a proxy itself, depends on Envoy, or publishes anything.
// Concurrency: a [Set] is immutable. A [Table] is for one goroutine.
package gate
