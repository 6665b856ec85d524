// Package quorum says which replicas of the control plane there are, without a store: a replica that a majority of the known
// addresses supports is the leader, and decides. docs/adr/0043-members-by-a-majority-of-addresses.md has the rules and their proofs.
//
// In: the addresses of the replicas; messages of other replicas; the time.
// Out: messages to other replicas and to addresses; the view in force here, and until when this replica is surely a member.
// Called by: the app, which carries the messages and passes the results to peers; the tests of peers.
// Never: reads a clock, draws a random number, or knows how messages travel.
// Concurrency: a Quorum is for one goroutine at a time.
package quorum
