// Package roster knows the replicas: who the members are, which replicas this one reaches, and whether it surely is a member itself.
//
// In: views and leases from the source of members; beats of other replicas; the time.
// Out: beats for other replicas; who is reached; the right to act as an owner.
// Called by: peers.
// Never: knows breakers. It sends nothing: its caller does.
// Concurrency: a [Roster] is for one goroutine at a time.
package roster
