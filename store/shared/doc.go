// Package shared keeps in Redis or Valkey what all replicas of a control plane share: which replicas there are, and the states of
// breakers that are not plainly closed.
//
// In: the beats and views of membership, and the states that the engine of this replica exports.
// Out: the live replicas, and the states that the owners of breakers have written, in the instants of this process.
// Called by: the app, which gives the registry to membership; the metrics, for each scrape.
// Never: waits longer than a second for an answer of the store, compares the clocks of two hosts, or takes the state of a stale owner.
// Concurrency: all methods are safe for concurrent use.
package shared
