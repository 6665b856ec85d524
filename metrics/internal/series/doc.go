// Package series keeps and writes the metrics of breakers.
//
// In: the breakers that the policy has, their transitions, how long each call took, and one snapshot of statuses for each scrape.
// Out: Prometheus' text format 0.0.4, family by family, in pieces as they are made.
// Called by: metrics.
// Never: makes a label of anything but upstream and route, or holds more of a scrape than one piece of it.
// Concurrency: everything is safe for concurrent use; counting takes no lock.
package series
