// Package app puts the control plane together and runs it.
//
// In: [Options], the policy files, and signals by way of a context.
// Out: a running control plane, until the context is over; then everything is stopped.
// Called by: cmd/controlplane, and tests that want the whole thing in process.
// Never: touches what is live before all that can fail has succeeded.
// Concurrency: [Run] may be called several times at once, with other addresses.
package app
