// Package stage has what demonstrations have in common: real proxies, services that can be broken, callers, and lines with times.
//
// In: a story; DEMO_SECONDS, to end by itself; DEMO_IP, for another loopback address.
// Out: the story on standard output, and the exit code 1 if a step of it does not happen.
// Called by: the demonstrations in examples.
// Never: leaves a process or a file behind, also after an error.
// Concurrency: a [Stage] is for one goroutine. A [Service] is safe for concurrent use.
package stage
