// Package wire is what Breakwater and a proxy agree on: what a proxy says of how a call
// ended, and what that means for a breaker.
//
// In: an [Ending], read from the messages of ext_proc or from an access log, and the [Rules] of its breaker.
// Out: the outcome of the call, as the table in docs/endings.md has it.
// Called by: extproc, for what is known while a call is under way; feed, for what is known once it has ended.
// Never: reads a message itself, or knows which of the two data paths a call took.
// Concurrency: everything is a value or immutable.
package wire
