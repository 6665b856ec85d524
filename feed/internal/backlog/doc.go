// Package backlog has the messages of access logs that wait to be counted. When too much waits, it drops what has waited longest: an
// outcome is worth less the later it comes.
//
// In: messages, from the goroutine that receives a stream.
// Out: the messages in the order in which they came, to the goroutine that counts them; and which of them are dropped.
// Called by: feed.
// Never: makes a receiver wait, or reads a message.
// Concurrency: safe for concurrent use.
package backlog
