// Package presence notices two proxies that have one node id. Such proxies share gates, permits, counts and a place on every
// page, and each of them uses the limits that are meant for one proxy. Nothing else shows that.
//
// In: the proxies that come and go, each with its id and its address, and the time.
// Out: the ids of two or more proxies, and which proxies have them.
// Called by: discovery, for each stream of resources.
// Never: reports a proxy that has connected again, or that restarts hot.
// Concurrency: a [Registry] is safe for concurrent use.
package presence
