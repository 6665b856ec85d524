// Package traffic has the callers that send HTTP/1.1 requests through proxies, and the service that answers them.
//
// In: the destination of the callers, their rate and duration; the responses of the service.
// Out: the number of responses, or the times of each request and response; the number of requests that reached the service.
// Called by: the benchmarks with real Envoys.
// Never: depends on the proxy between its two ends. It uses raw sockets, to leave most of the CPU to the proxy.
// Concurrency: everything is safe for concurrent use.
package traffic
