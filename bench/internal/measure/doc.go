// Package measure times loops of calls side by side, in many short rounds. It also measures the memory that they allocate and keep.
//
// In: [Cell]s, each with a [Loop] and the way to run it; the number of rounds, and how long each cell runs in one.
// Out: a [Timing] for each cell: the quartiles of its rounds, and of its ratios to the first cell in the same rounds.
// Called by: the benchmark, for every column of its tables; package peers, in its tests.
// Never: knows what the calls do, or compares figures from different runs.
// Concurrency: one measurement at a time; the calls of a cell run on one goroutine or on two.
package measure
