// Package app connects the parts of the control plane, and runs them.
//
// In: [Options], the policy files, and a context that ends when the process gets a signal.
// Out: a running control plane until the context ends. Then everything is stopped.
// Called by: cmd/controlplane, and tests that need a whole control plane in process.
// Never: changes live state before everything that can fail has succeeded.
// Concurrency: [Run] may be called several times at once, with different addresses.
package app
