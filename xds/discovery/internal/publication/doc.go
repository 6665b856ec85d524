// Package publication decides which resources each proxy gets: the published policy, translated for each kind of proxy that
// is connected, without the endpoints that are ejected, and for a while with the fallbacks that the policy no longer has.
//
// In: policies, ejections, the nodes of the proxies, and the time.
// Out: the resources for each proxy, and the upstreams on which its reports count.
// Called by: discovery.
// Never: knows of streams, reads a clock, starts a timer of its own, or changes a publication that proxies have.
// Concurrency: safe for concurrent use.
package publication
