// Package resource has Envoy's resources as proxies get them: marshalled once, shared by all proxies, in lists that never
// change. A proxy's knowledge of its resources is a pointer to such a list, and what two lists differ in is found once for
// all proxies that have the one and get the other.
//
// In: marshalled messages, names and versions.
// Out: lists, their differences, and the bytes of responses.
// Called by: xds, which makes resources; discovery, which sends them.
// Never: knows what a resource means, except which hosts a virtual host serves.
// Concurrency: all values are immutable; a [Pool] and what lists remember are safe for concurrent use.
package resource
