// Package places says which replica has which breaker.
//
// In: the members, and which of them this replica reaches.
// Out: the owner of each breaker, and the replica that acts for the owner where that one cannot be reached.
// Called by: peers.
// Never: remembers where a breaker was before.
// Concurrency: a [Map] is immutable.
package places
