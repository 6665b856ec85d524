// Package publisher keeps the gates of proxies in step with the breakers.
//
// In: policies, the transitions of breakers, how busy they are, what proxies report of their connections and which gates they say that they apply.
// Out: a set of gates for all proxies whenever it changes, and for half-open breakers of connections the successes of those that stay up.
// Called by: the app: with each policy, with each transition, and with what proxies apply.
// Never: renders or sends gates, or holds a lock while it calls another package.
// Concurrency: everything is safe for concurrent use. The goroutine of [Publisher.Run] alone computes and publishes gates; all others hand values to it.
package publisher
