// Package gates decides what stands in the data plane for each breaker: which share of its calls a proxy rejects by itself, whether the rest
// asks for permits, and how much of it is logged.
//
// In: the policy, the status of breakers that changed, how much is to be logged, what proxies have told
// of their connections, and which gates they obey.
// Out: the gates of all breakers at an instant, and when they will next change.
// Called by: internal/app, which publishes them.
// Never: reads a clock, starts a goroutine, or speaks to a proxy.
// Concurrency: a Board has one owner.
package gates
