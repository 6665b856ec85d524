// Package byhand judges and records what operators do to breakers by hand.
//
// In: the admin token that is configured, and requests.
// Out: changes that are right, or why they are refused; one log line for each attempt.
// Called by: httpapi, for POST /breakers/{key}.
// Never: makes a change, logs a token, or reads the body of a client without one.
// Concurrency: everything is safe for concurrent use.
package byhand
