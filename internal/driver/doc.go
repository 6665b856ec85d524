// Package driver runs an engine of breakers, which has neither a clock nor a goroutine: it gives the engine the time, makes
// the transitions happen that only time brings, and hands all transitions on as one ordered stream.
//
// In: an engine's transitions and its requests to be advanced, and the monotonic clock.
// Out: each transition to each [Observer], once and in order, away from the call that caused it.
// Called by: the app, and the registry of breakers in process.
// Never: decides anything about a breaker, or starts a goroutine.
// Concurrency: [Driver.Run] is on one goroutine at a time; everything else is safe on any.
package driver
