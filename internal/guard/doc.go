// Package guard protects the ports. It bounds the connections of each port and the memory that each proxy takes, and it
// checks the identity that a proxy claims and the upstreams that it reports on.
//
// In: rules of identity, the certificates and connections of peers, and the memory that the services use for each.
// Out: a [Peer] with each connection, gRPC errors for refusals, and the totals of refusals.
// Called by: the app, which sets it up; the three gRPC services, which ask it.
// Never: reads a message, or allocates for a request that it allows.
// Concurrency: safe for concurrent use; connections of one identity share an account.
package guard
