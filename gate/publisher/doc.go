// Package publisher keeps the gates of proxies in step with the breakers.
//
// In: policies, the transitions and rates of breakers, and the reports of proxies on their connections and on the gates that they apply.
// Out: a set of gates for all proxies whenever it changes; connections that stay up, as successes of half-open breakers.
// Called by: the app, with each policy, each transition, and each report that a proxy applies gates.
// Never: renders or sends gates, or holds a lock while it calls another package.
// Concurrency: everything is safe for concurrent use. Only the goroutine of [Publisher.Run] computes and publishes gates; all others pass values to it.
package publisher
