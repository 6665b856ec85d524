// Package alslog reads the messages of Envoy's gRPC access logs, as its access log service (ALS) gets them. It reads the
// fields that say how a request or a connection went, skips all others, and allocates nothing for an entry.
//
// In: bytes of StreamAccessLogsMessage (envoy/service/accesslog/v3/als.proto), from any source.
// Out: a [Message] and, one after the other, its entries, each an [Entry].
// Called by: feed, for every message of a proxy.
// Never: judges what an entry means, or trusts that a message is well formed.
// Concurrency: a Message belongs to one goroutine at a time; different ones are independent.
package alslog
