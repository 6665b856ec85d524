// Package feed takes what proxies log of their calls, and tells the breakers.
//
// In: access log streams of Envoy's gRPC access loggers, and a policy with the engine that has its breakers.
// Out: outcomes for breakers and for endpoints, durations, and how much proxies are to log.
// Called by: the gRPC server that internal/app sets up; internal/app asks what is to be logged.
// Never: has a proxy wait: what comes faster than it can be taken is dropped, and counted.
// Concurrency: safe for concurrent use; each stream has two goroutines, one that receives and one that works.
package feed
