// Package xds turns a compiled policy into Envoy's resources: for each upstream its cluster, secret, and virtual host or listener,
// then the egress cluster, the route configuration and the egress listener. Endpoints come from a table beside the policy, one
// resource for each upstream. Policies that follow each other share the resources of upstreams that have not changed. The package renders gates as the runtime layer. Package discovery sends the resources to proxies, and package
// bootstrap makes the configuration that they start with.
//
// In: a [policy.Set]; an [endpoints.Table]; a [gate.Set].
// Out: Envoy resources, each with a version that is the hash of its bytes; also as text.
// Called by: discovery, which sends them; the command render, which prints them.
// Never: depends on anything except its arguments: equal policies have equal bytes, everywhere.
// Concurrency: pure functions, and values that do not change. A [Translation] is for one goroutine at a time.
package xds
