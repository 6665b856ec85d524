// Package endpoints has the endpoints of upstreams, and which of them are ejected, beside the compiled policy. Endpoints
// come and go at another rate than policies, and often from another source. A change of them compiles no policy, and
// changes no cluster, listener or route of a proxy.
//
// In: the endpoints of upstreams, from a [policy.Set] or upstream by upstream; ejections, upstream by upstream.
// Out: tables, from which the endpoints that proxies get are made (Envoy: EDS).
// Called by: the app, which fills a table from a policy; xds and discovery, which send the endpoints to proxies.
// Never: decides whether an endpoint is ejected, checks whether an endpoint is there, or changes a table.
// Concurrency: tables do not change, so any number of goroutines can read them.
package endpoints
