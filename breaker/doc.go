// Package breaker is the circuit breaker state machine: closed, open, half-open with a
// bounded number of probes.
//
// In: policies as [Spec] values, calls as [Breaker.Acquire] and [Permit.Done], and the time of each.
// Out: a [Decision] for every call, a [Transition] for every change of state, counts in [Status].
// Called by: the ext_proc server for each request, the feed for each log entry, metrics for each scrape, and the program that drives an engine.
// Never: reads a clock, starts a goroutine, does I/O, or imports anything but the standard library and instant.
// Concurrency: everything is safe for concurrent use, except a single [Permit], which has one owner.
//
// # Reading this package
//
// rules.go is the machine: which state admits what, and what takes it where. Read it
// first. The files that begin with rules_ are the parts of the machine. The files that
// begin with count_ do the counting below it and use none of the rules; a test in
// internal/archtest sees to that. The files that begin with engine_ hold many breakers.
//
// Rules and counting are one package, although it is a large one, because they share
// each call and the breaker's memory. A call of a closed breaker is one compare-and-swap on
// a cell when it begins and one when it ends. Both are inlined, and fall through to the
// rules when the cell has changed. The rules close the cells when they take the breaker's
// lock, and open them when they release it. A [Breaker] contains its cell, window and
// flight by value, so that an idle one takes at most 512 bytes and a mesh can have 100,000
// of them. With a boundary in between, the cell's layout would be open to other packages,
// or a pointer and a call would stand in place of each of these.
//
// # Driving an engine
//
// An [Engine] has no clock and no goroutine. The program that makes one has these
// responsibilities:
//
//  1. Keep the time. Choose a start once, and pass the time since then, by a monotonic
//     clock, to every method that takes an [Instant]. Goroutines that read the clock at
//     about the same moment may pass their instants in either order.
//
//  2. Apply policies. [Engine.Apply] takes all specs each time, also those that have not
//     changed. It keeps the state of every breaker whose semantics stay the same.
//
//  3. Restore before serving. After the first Apply, give [Engine.Restore] what an earlier
//     process saved, or breakers that were open let the calls through. At the end, when no
//     more calls are admitted, save what [Engine.ExportLast] returns; [Engine.Export] is for
//     saving now and then. Store instants as wall time: another process has another start.
//
//  4. Resolve each permit once, by [Permit.Done] or [Permit.Settle], also when a call
//     panics. A probe whose permit is not resolved holds its slot until its lease runs out.
//
//  5. Call [Engine.Advance] when it said that it is due, and when [Options.Wake] is called.
//     Without that, a breaker notices the passing of time only when it is used: an open
//     breaker without calls stays open, and calls in flight do not become slow.
//
//  6. Handle transitions. [Options.Listen] gets each one once, and for each breaker in
//     order. No lock is held, so it may call the engine. But it runs on any goroutine that
//     is using the engine, such as one in the middle of a call, so it should only note
//     the transition. Hand transitions on in the order in which they came.
//
//  7. Let one engine at a time own a breaker that several processes share, and give that
//     engine all of the breaker's calls. When the owner changes, pass the [Handover] from
//     [Engine.HandOver] to [Engine.TakeOver] of the next owner, with its instants on that
//     engine's clock, and only once: its counts are added. A takeover is no transition, so
//     look at [Engine.Status] afterwards. An owner that has crashed hands nothing over.
//     Take over from an earlier [Engine.Holding] then, and pass the instant at which all leases
//     have run out that it may have given. An engine that another one has taken over from
//     calls [Engine.Forsake].
//
//     A call that an earlier owner has admitted goes on. When it ends, resolve its permit
//     there, and tell the present owner that it is counted: a probe by [Engine.SettleProbe],
//     another call by [Engine.Report] with its generation. Until then report it as running
//     when it becomes slow; it ends as an early call if it was slow before the handover or
//     was reported as running.
//
// Wake runs in the middle of calls as well, so it only wakes the goroutine that calls
// Advance. That goroutine is a loop:
//
//	for ctx.Err() == nil {
//		select {
//		case <-ctx.Done(): // once more, for what has happened until now
//		case <-wake: // has room for one; Wake sends without waiting
//		case <-timer.C:
//		}
//		next, due := engine.Advance(now())
//		for _, t := range noted() { // by Listen, in order
//			handle(t)
//		}
//		if due {
//			timer.Reset(next.Sub(now()))
//		} else {
//			timer.Stop() // until Wake is called
//		}
//	}
//
// The example "Driving" has the rest of the program around it.
package breaker
