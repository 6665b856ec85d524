// Package gate computes what proxies must do for each breaker that is not plainly closed: reject calls, let
// some of them ask for permits, bound connections, and how densely to log.
//
// In: a policy, the status of breakers, the calls per second that they had, and for upstreams that speak TCP what their proxies report.
// Out: a [Set] of gates as values, which xds renders as runtime layers, and when time alone will change them.
// Called by: package publisher, which also says when.
// Never: asks an engine or a proxy itself, knows of Envoy, or publishes anything.
// Concurrency: a [Set] is immutable. A [Table] is for one goroutine.
package gate
