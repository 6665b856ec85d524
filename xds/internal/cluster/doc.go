// Package cluster makes the cluster of an upstream: how a proxy finds its endpoints, connects to them, spreads requests
// over them, limits them, checks their health and ejects outliers.
//
// In: a compiled upstream.
// Out: its cluster, and the secret with the CAs that it trusts.
// Called by: xds.
// Never: depends on the upstream's breakers, or on the endpoints of a static upstream, which are a resource of their own.
// Concurrency: functions of their arguments only.
package cluster
