// Package fleet simulates many proxies in one process: each asks for its configuration as an Envoy does, answers what it
// gets, and remembers what it has.
//
// In: a control plane's address, and the bootstrap that it gives its proxies.
// Out: when all proxies have a change, what they received for it, and what a proxy should never see, counted.
// Called by: the benchmark of fleets.
// Never: keeps a resource, apart from its name and version; applies a change without having received its bytes.
// Concurrency: safe for concurrent use; each stream of a proxy is run by a goroutine of its own.
package fleet
