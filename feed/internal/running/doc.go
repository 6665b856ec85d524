// Package running remembers the slow calls of a proxy that were reported while they were running, until the proxy logs their ends.
//
// In: which call it is, when it began, and until when it must have ended.
// Out: whether a call is new, and whether a call that has ended was reported before.
// Called by: feed.
// Never: remembers more calls than its bounds allow, of one proxy or of all.
// Concurrency: the caller makes sure that one goroutine at a time uses the calls of a proxy. Several proxies are independent.
package running
