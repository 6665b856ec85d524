// Package addresses keeps a replica a member by a list of addresses of replicas, or by a DNS name that has them. It gives a quorum
// the time, the messages and the addresses.
//
// In: the list, messages of other replicas, the answers of name servers.
// Out: messages to other replicas and to addresses; views, and until when this replica is surely a member.
// Called by: the app, which carries the messages and passes the views to peers.
// Never: decides anything about members; that is the work of quorum.
// Concurrency: a Keeper is safe for concurrent use.
package addresses
