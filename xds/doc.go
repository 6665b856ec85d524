// Package xds turns a compiled policy into Envoy configuration. How it reaches
// proxies is the business of package discovery below it.
//
// In: a [policy.Set], or what a bootstrap depends on.
// Out: Envoy resources, each with a version that is the hash of its bytes; bootstraps; both as text.
// Called by: discovery, which sends them; render and bootstrap, which print them.
// Never: depends on anything but its arguments: equal policies have equal bytes, everywhere.
// Concurrency: pure functions, and values that are not changed. A [Translation] is for one goroutine at a time.
package xds
