// Package wire holds the agreements between Breakwater and a proxy: the names that both use, and the meaning of a
// proxy's report on how a call ended.
//
// In: keys of breakers, to be made into names of routes, runtime keys and logs; an [Ending], read from the messages of ext_proc or from an access log, with the [Rules] of its breaker.
// Out: names, and keys read from them again; the outcome of the call, as the table in docs/endings.md has it.
// Called by: xds, which writes the names; gate, which computes shares; extproc and feed, which read the names and endings; policy, which reserves the names.
// Never: reads a message itself, or knows which of the two data paths a call took.
// Concurrency: everything is a value or immutable.
package wire
