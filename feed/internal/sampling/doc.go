// Package sampling decides how densely proxies log the calls of a breaker, and remembers how densely a proxy did log them, so that an
// entry of its log counts for the right number of calls.
//
// In: how many calls a proxy logged, or they represent, and which sampling a proxy has applied since when.
// Out: the sampling from now on; how many calls an entry represents; the rates of calls.
// Called by: feed.
// Never: knows entries, proxies or breakers beyond their keys.
// Concurrency: the caller makes sure that one goroutine at a time uses a value.
package sampling
