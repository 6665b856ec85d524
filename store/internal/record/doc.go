// Package record has the form in which the states of breakers are kept outside of a process.
//
// In: states ([breaker.Saved]), in the instants of one process.
// Out: records, with times of a wall clock and values in the words of policies; and states again, in the instants of a later process.
// Called by: the stores, which say where records are, and when they were written.
// Never: reads a file or a clock.
// Concurrency: records are values.
package record
