// Package entry says what an entry of an access log means: how its request ended, or what became of its connection.
//
// In: entries that were read, and the rules of a breaker.
// Out: endings, and news of connections.
// Called by: feed, for each entry.
// Never: knows which breaker an entry belongs to, or counts anything.
// Concurrency: functions of their arguments only.
package entry
