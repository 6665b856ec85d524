// Package peers adapts circuit breakers of Go programs, ours and those from other modules, to what the benchmark times: loops of calls.
//
// In: the names of the breakers that a loop spreads its calls over, and their order ([Directory]).
// Out: a [Peer] for each row of the comparison, in a file of its own that says what the breaker has and has not.
// Called by: the benchmark, which times the loops.
// Never: times anything, or stands between a loop and the peer's own function: every peer writes its loops out.
// Concurrency: loops are safe for concurrent use; the functions that make them are called one at a time.
package peers
