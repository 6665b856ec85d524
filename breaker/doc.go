// Package breaker is the circuit breaker state machine: closed, open,
// half-open with a bounded number of probes.
//
// In: policies as [Spec] values, calls as [Breaker.Acquire] and [Permit.Done], and the time of each.
// Out: a [Decision] for every call, a [Transition] for every change of state, counts in [Status].
// Called by: the ext_proc server for each request, telemetry for each scrape, the app for the passing of time.
// Never: reads a clock, starts a goroutine, does I/O, or imports anything but the standard library.
// Concurrency: everything is safe for concurrent use, except a single [Permit], which has one owner.
package breaker
