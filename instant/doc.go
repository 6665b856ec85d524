// Package instant is the time that the pure packages count in: an [Instant] on a
// monotonic clock.
//
// In: a count of nanoseconds since a start that the caller chose.
// Out: instants, and the durations between them.
// Called by: breaker and outlier, whose own names for the type are aliases. The programs that run them keep the clock.
// Never: reads a clock, knows the date, or imports anything but the standard library.
// Concurrency: pure values.
package instant
