// Package archtest checks the shape of the source tree: which package imports which, which
// files of a package use which, how long files and functions are, what pure packages use, each
// package's doc comment, and the prose.
//
// In: the Go files and the Markdown pages of the repository, parsed; nothing is compiled or fetched.
// Out: findings, each with file, line and what to do about it.
// Called by: its own test, for the repository and for small bad examples.
// Never: lets a package pass that is not in its table; a new one is placed there, with a reason.
// Concurrency: functions of their arguments only.
package archtest
