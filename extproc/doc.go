// Package extproc answers Envoy's external processing streams: the inline way to
// enforce a breaker, one stream for each request.
//
// In: streams that name their breaker in [wire.BreakerMetadata], and in a scope of nodes their proxy in an attribute; the engine's breakers by [Server.Apply].
// Out: continue or an immediate response; for each admitted request exactly one outcome to its permit.
// Called by: proxies, over gRPC; the app, when the policy changes.
// Never: fails a request because of itself: what it does not know or understand is admitted.
// Concurrency: safe for concurrent use; each stream is served by one goroutine.
package extproc
