// Package metrics collects the metrics for Prometheus. It has those for breakers, ejections and loads of the policy; each
// server describes its own.
//
// In: snapshots of breakers and of ejections at each scrape; policies that were loaded or refused, transitions, and how
// long calls took, as they happen; collectors of other packages, by [Metrics.Register].
// Out: an [http.Handler] in the text format 0.0.4; the result of the last load, and the last transition of each breaker.
// Called by: the app, which wires it; the ext_proc server and the feed, through the app, for each request.
// Never: makes a label of anything that is not in the policy, bounds how many scrapes there are at a time, or knows of xds, extproc, feed or Envoy's API.
// Concurrency: everything is safe for concurrent use; the parts in [Options] have to be, too.
package metrics
