// Package membership says which replicas of the control plane there are, and since when. It has an epoch, which grows with
// each change, and a lease, without which no replica may act as the owner of a breaker.
//
// In: readings of a [Registry], which is a store that all replicas reach.
// Out: views, and until when this replica is surely a member.
// Called by: the app, which passes both to peers.
// Never: asks another replica, or knows of breakers.
// Concurrency: see each type.
package membership
