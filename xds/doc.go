// Package xds turns a compiled policy into Envoy configuration. Package discovery sends it to proxies, and package bootstrap
// makes the configuration that they start with.
//
// In: a [policy.Set], and gates.
// Out: Envoy resources, each with a version that is the hash of its bytes; the same as text.
// Called by: discovery, which sends them; the command render, which prints them.
// Never: depends on anything but its arguments: equal policies have equal bytes, everywhere.
// Concurrency: pure functions, and values that are not changed. A [Translation] is for one goroutine at a time.
package xds
