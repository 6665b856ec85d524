// Package rollout hands gates to the streams of proxies, and measures how long it takes until every proxy applies them.
//
// In: gates, as runtime layers; the proxies' answers to them.
// Out: the current gates, wake-ups of the streams whose layer changes, and the time that each change took.
// Called by: discovery, for each stream on which a proxy has asked for its runtime layer.
// Never: wakes a stream whose layer stays the same, or waits for a proxy.
// Concurrency: a [Rollouts] is safe for concurrent use; a [Follower] belongs to it.
package rollout
