// Package cli shows in a terminal what a control plane answers: tables and JSON of breakers, transitions as they happen,
// and what is wrong where there is no answer.
//
// In: a client of a control plane, and which breakers are wanted.
// Out: text for operators, or JSON for programs.
// Called by: cmd/controlplane.
// Never: reads flags or the environment, or ends the process.
// Concurrency: functions are safe for concurrent use; a [Watcher] runs once.
package cli
