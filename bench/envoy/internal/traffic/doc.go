// Package traffic is both ends of what the benchmark sends through proxies: callers that send HTTP/1.1 requests, and a service that answers them.
//
// In: where callers send to, how fast and for how long; what the service should answer.
// Out: how many requests were answered, or when each was sent and answered, and what the service has seen.
// Called by: the benchmark of Envoys, in each of its parts.
// Never: knows what is between its two ends, or does more than raw sockets need: the proxy should have the other core.
// Concurrency: everything is safe for concurrent use.
package traffic
