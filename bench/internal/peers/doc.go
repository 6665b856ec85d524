// Package peers makes loops of calls for the benchmark, with our breakers and with those from other Go modules.
//
// In: the names of the breakers that a loop calls, and their order ([Directory]).
// Out: a [Peer] for each row of the comparison. Each has its own file, which says what features the breaker has and lacks.
// Called by: the benchmark, which times the loops.
// Never: times anything, or adds a function call between a loop and the peer's own function: every peer writes its loops out.
// Concurrency: loops are safe for concurrent use; the functions that make them are called one at a time.
package peers
