// Package pace gives an engine what it does not have itself: a clock, and somebody
// who looks when time alone changes a breaker.
//
// In: an engine's transitions and its wish to be looked at, and the monotonic clock.
// Out: each transition once and in order, away from the call that caused it.
// Called by: the app, and the registry of breakers in process.
// Never: decides anything about a breaker, or starts a goroutine.
// Concurrency: [Pace.Run] is on one goroutine at a time; everything else is safe on any.
package pace
