// Package feed is the access log service of the control plane. It turns what proxies log of requests and connections into
// outcomes for breakers.
//
// In: access log streams of Envoy's gRPC access loggers, and a policy. A [breaker.Decider] has its breakers.
// Out: outcomes for breakers and for endpoints, durations, and how densely proxies are to log.
// Called by: the gRPC server that internal/app sets up; the app, with each policy; gate/publisher, which asks for the sampling once a second.
// Never: makes a proxy wait: entries that come faster than they can be counted are dropped, and the drops are counted.
// Concurrency: safe for concurrent use; each stream has two goroutines, one that receives and one that counts.
package feed
