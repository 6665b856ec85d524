// Package publication decides which resources each proxy gets: the published policy, translated for each kind of proxy that
// is connected, and for a while with the fallbacks that the policy no longer has. The endpoints come from a table beside the
// policy. New endpoints of an upstream change one resource, and translate nothing else.
//
// In: policies, endpoints, ejections, the nodes of the proxies, and the time.
// Out: the resources for each proxy, and the upstreams on which its reports count.
// Called by: discovery.
// Never: knows of streams, reads a clock, starts a timer of its own, or changes resources that it has returned.
// Concurrency: safe for concurrent use.
package publication
