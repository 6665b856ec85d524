// Package outbox keeps what one replica reports to another until it has arrived, and counts each report once.
//
// In: outcomes of calls, by breaker; which reports have arrived.
// Out: numbered reports, in order, and again where one got lost.
// Called by: peers.
// Never: decides where a breaker is, or sends anything.
// Concurrency: an [Outbox] and an [Inbox] are for one goroutine at a time.
package outbox
