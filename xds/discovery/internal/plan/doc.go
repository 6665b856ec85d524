// Package plan decides which resources one proxy is sent next over one stream, in an order that makes before it breaks: a
// resource is sent before other resources refer to it, and is removed after the last reference to it.
//
// In: the resources that the proxy gets, its requests, and the time.
// Out: responses, and when to look again.
// Called by: discovery, for each stream.
// Never: knows of other proxies, sends, waits, or decides about the runtime layer, on which no other resource depends.
// Concurrency: a [Proxy] is for one goroutine at a time.
package plan
