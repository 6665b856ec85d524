// Package store keeps breakers over a restart of the control plane, so that one
// does not close an open breaker early.
//
// In: what the engine exports ([breaker.Saved]), a call of [Keeper.Notify] for every transition, the clocks.
// Out: one file, breakers.json in the state directory; at the next start what it held, in the new process's instants.
// Called by: the app, at start ([Open]), for transitions, and at shutdown; the metrics for each scrape.
// Never: writes while a request waits, or keeps the control plane from starting over a file it cannot use.
// Concurrency: all methods are safe for concurrent use; [Keeper.Run] is called once and blocks.
package store
