// Package archtest checks the shape of the source tree: who imports whom, how
// long things get, what pure packages must not touch, what every package says of itself.
//
// In: the Go files of the repository, parsed; nothing is compiled or fetched.
// Out: findings, each with file, line and what to do about it.
// Called by: its own test, for the repository and for small bad examples.
// Never: lets a package pass that is not in its table; a new one is placed there, with a reason.
// Concurrency: functions of their arguments only.
package archtest
