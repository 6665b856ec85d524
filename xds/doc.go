// Package xds turns a compiled policy into Envoy configuration and serves it.
//
// In: a [policy.Set], and the streams of proxies.
// Out: Envoy resources, each with a version that is the hash of its bytes; what each proxy was sent, took or refused.
// Called by: the app, which publishes; render and bootstrap, which print.
// Never: sends a proxy the same content twice, or content it has refused.
// Concurrency: translation is pure; the server is safe for concurrent use.
package xds
