// Package convert writes breakers and calls as messages between replicas, and reads them.
//
// In: the types of breaker, whose instants are on this replica's clock, and messages, which have ages in place of them.
// Out: the same, the other way round.
// Called by: peers.
// Never: decides anything.
// Concurrency: functions of their arguments only.
package convert
