// Package e2e tests the whole of Breakwater with a real Envoy: the binary of a release, proxies, upstreams that fail in
// every way, and callers.
//
// In: policies, and the calls and failures of a test.
// Out: the responses that callers got, the calls that reached the upstreams, and the pages of the control plane.
// Called by: go test.
// Never: sleeps, skips, or leaves a process behind. All addresses are loopback addresses that no other test has.
// Concurrency: tests run in parallel. Each has its own processes and its own IP address.
package e2e
