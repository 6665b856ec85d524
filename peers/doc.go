// Package peers lets several replicas of the control plane share their breakers. Each breaker has one owner, whose engine is the
// breaker. The other replicas forward what their proxies report, ask for the permits of probes, and mirror the state.
//
// In: calls of this replica's proxies; views of the membership; messages of other replicas; transitions of this replica's engine.
// Out: messages to other replicas; the status of each breaker, wherever it is; the transitions of all replicas.
// Called by: the app, in place of the engine.
// Never: knows how messages travel, or where the members are listed. It reads no clock: time is an argument.
// Concurrency: safe for concurrent use. A breaker that is here costs no lock.
package peers
