// Package e2e tests the whole of Breakwater with a real Envoy: the binary that is
// shipped, proxies, upstreams that fail in every way, and callers.
//
// In: policies, and what the callers and upstreams of a test do.
// Out: what callers saw, what reached the upstreams, what the control plane shows.
// Called by: go test.
// Never: sleeps, skips, or leaves a process behind; all addresses are loopback ones of the test's own.
// Concurrency: tests run in parallel, each with processes and an IP address of its own.
package e2e
