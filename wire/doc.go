// Package wire is what Breakwater and a proxy agree on: the names that both use, and what a proxy says of how a call
// ended.
//
// In: keys of breakers, to be made into names of routes, runtime keys and logs; an [Ending], read from the messages of ext_proc or from an access log, with the [Rules] of its breaker.
// Out: names, and keys read from them again; the outcome of the call, as the table in docs/endings.md has it.
// Called by: xds and gate, which write the names; extproc and feed, which read them and what a proxy says of calls; policy, which lets no upstream take them.
// Never: reads a message itself, or knows which of the two data paths a call took.
// Concurrency: everything is a value or immutable.
package wire
