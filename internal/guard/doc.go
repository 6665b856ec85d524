// Package guard stands at the ports: how many connections each may have, who a proxy may say
// that it is, what it may report on, and how much it may hold.
//
// In: rules of identity, the certificates and connections of peers, and what the services hold for each.
// Out: a [Peer] with each connection, gRPC errors for what is refused, and totals of those.
// Called by: the app, which sets it up; the three services, which ask it.
// Never: reads a message, or allocates for a request that is in order.
// Concurrency: safe for concurrent use; connections of one identity share an account.
package guard
