// Package redistest runs real Redis and Valkey servers for tests.
//
// In: which kind of server, and its settings.
// Out: servers that answer, each in a temporary directory and on a free port of the loopback address.
// Called by: tests of the shared store.
// Never: skips a test; where there is no server, the test fails and says how to get it. No server outlives its test.
// Concurrency: a server is for one goroutine at a time. Several tests may have servers at once.
package redistest
