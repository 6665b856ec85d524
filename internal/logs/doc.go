// Package logs writes the log of the control plane: how its lines look, and which attributes the lines about
// breakers and endpoints have.
//
// In: a format and a level; transitions of breakers, and what became of endpoints that were judged for the whole mesh.
// Out: a [slog.Logger]; one line for each transition and for each ejection.
// Called by: cmd/controlplane for its logger; the app for each transition and each ejection.
// Never: decides what is worth a line; that is up to its callers and to the level.
// Concurrency: everything is safe for concurrent use.
package logs
