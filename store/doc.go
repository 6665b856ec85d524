// Package store saves the states of breakers, so that a restart of the control plane does not close an open breaker early.
//
// In: the states that the engine exports ([breaker.Saved]), a [Keeper.Notify] for every transition, and the clocks.
// Out: one file, breakers.json in the state directory. The next process gets the states back, in its own instants.
// Called by: the app, at start ([Open]), for each transition, and at shutdown; the metrics, for each scrape.
// Never: writes while a request waits, or prevents the start because of a file that it cannot read.
// Concurrency: all methods are safe for concurrent use. [Keeper.Run] is called once, and blocks.
package store
