// Package lockorder has a mutex that knows its place among the other locks of the process. A test that takes two of them in
// the wrong order fails at once, even if no other goroutine takes them the other way round.
//
// In: the order of the locks. It is written down in order.go, and only there.
// Out: mutexes. Under the race detector, which all tests run with, [Mutex.Lock] ends the process when it is called out of order. In
// a program a mutex is a plain [sync.Mutex].
// Called by: packages with a goroutine that may hold two locks, including the locks of the packages that they call.
// Never: hides a data race. The bookkeeping of the order does not count as synchronisation for the race detector.
// Concurrency: safe for concurrent use, as a [sync.Mutex] is.
package lockorder
