// Package extproc is the server for Envoy's external processing streams, by which a breaker decides about each request
// before the proxy sends it. Each request has its own stream.
//
// In: streams that name their breaker in [wire.BreakerMetadata], and their proxy in an attribute if each proxy has its own breaker; policies by [Server.Apply].
// Out: for each request, an answer that lets it pass or an immediate response; for each admitted request, exactly one outcome to its permit.
// Called by: proxies, over gRPC; the app, when the policy changes.
// Never: rejects a request because of a breaker that it does not know.
// Concurrency: safe for concurrent use; each stream is served by one goroutine.
package extproc
