// Package suspects has the breakers that may be about to trip. Proxies log all calls of these for a while, so that failures in a row
// are known to be in a row. Their outcomes are put in the order in which the calls ended, over all proxies.
//
// In: outcomes of calls, and since when each proxy logs all calls.
// Out: the same outcomes, in order, to a [breaker.Decider]; which breakers are suspects.
// Called by: feed.
// Never: changes what an outcome counts for; it only says of a failure whether successes may have gone unseen before it.
// Concurrency: safe for concurrent use, except where a method says otherwise.
package suspects
