// Package clock translates times by the clocks of proxies, which may show anything, into instants of the engine's clock.
//
// In: when calls ended by the clock of their proxy, and when their entries arrived by the engine's clock.
// Out: when they ended by the engine's clock.
// Called by: feed, for every entry of a proxy's log.
// Never: trusts a proxy's time, reads a clock itself, or puts a call more than some nanoseconds into the future.
// Concurrency: none of its own; the caller guards a [Proxy], with its streams, by a lock.
package clock
