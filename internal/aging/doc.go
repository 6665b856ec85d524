// Package aging ends the long streams of old connections, so that the proxies of some replicas spread over all of them.
//
// In: the age of connections, and the streams of a gRPC server.
// Out: streams that end with the status OK soon after their connection may have no more streams.
// Called by: the app.
// Never: closes a connection. gRPC does so when the last stream has ended.
// Concurrency: safe for concurrent use.
package aging
