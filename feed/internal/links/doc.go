// Package links counts the connections of a proxy to an upstream that speaks TCP.
//
// In: the entries of connections, and the time.
// Out: how many connections there are, and when the last ones came.
// Called by: feed, for each entry; the gates follow from the counts.
// Never: knows of breakers, or reads a clock.
// Concurrency: [Links] are for one goroutine at a time.
package links
