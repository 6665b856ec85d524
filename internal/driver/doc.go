// Package driver runs an engine of breakers, which has neither a clock nor a goroutine. It gives the engine the time,
// advances it when a transition is due, and passes all transitions on as one ordered stream.
//
// In: an engine's transitions, its requests to be advanced, and the monotonic clock.
// Out: each transition to each [Observer], once and in order, never inside the engine's own functions.
// Called by: the app, and the registry of breakers in process.
// Never: decides anything about a breaker, or starts a goroutine.
// Concurrency: [Driver.Run] runs on one goroutine at a time; everything else is safe for concurrent use.
package driver
