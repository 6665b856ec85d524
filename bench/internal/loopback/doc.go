// Package loopback runs control planes, Envoys and services on one machine, on addresses that no other program uses.
//
// In: the paths of programs, and their arguments.
// Out: running programs, each on a loopback address of its own with its usual ports, and the pages that they serve.
// Called by: the benchmarks with real Envoys.
// Never: leaves a program, or a file, behind when it is closed.
// Concurrency: a [Machine] is for one goroutine at a time, but any may sleep.
package loopback
