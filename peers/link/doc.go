// Package link carries messages between replicas over gRPC, on the port for proxies.
//
// In: messages to send, and the addresses of replicas.
// Out: the messages of other replicas, in the order of each sender.
// Called by: the app.
// Never: waits for a slow replica. A message that cannot be sent is dropped, and those who need it send it again.
// Concurrency: safe for concurrent use.
package link
