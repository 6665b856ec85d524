// Package discovery serves resources to proxies over xDS, and knows what each proxy
// was sent, took or refused.
//
// In: publications of a policy, gates, ejections, and the streams of proxies.
// Out: responses, in an order that makes before it breaks; status, totals, and who obeys what.
// Called by: proxies, over gRPC; the app, which publishes and shows.
// Never: sends a proxy what it has, but for heartbeats, or what it has refused before the pause is over; never
// sends with a lock held.
// Concurrency: safe for concurrent use; each stream is served by one goroutine, beside one that receives.
package discovery
