// Package convert writes breakers and calls as messages between replicas, and reads them.
//
// In and out: the types of breaker, whose instants are on this replica's clock, and messages, which have ages in place of them.
// Called by: peers.
// Never: decides anything.
// Concurrency: functions of their arguments only.
package convert
