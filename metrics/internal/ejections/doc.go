// Package ejections writes the metrics of endpoints that are judged for the whole mesh.
//
// In: one snapshot of the upstreams whose endpoints are judged, for each scrape.
// Out: Prometheus' text format 0.0.4, family by family, in pieces as they are made.
// Called by: metrics.
// Never: makes a label of anything but an upstream or a rule, or holds more of a scrape than one piece of it.
// Concurrency: everything is safe for concurrent use.
package ejections
