// Package connect says how a proxy connects to something: to an address or a name, by which protocol, with which
// certificates.
//
// In: addresses, names, paths of files.
// Out: the parts of Envoy's clusters, listeners and secrets for them.
// Called by: xds, cluster and listener, for upstreams; bootstrap, for the control plane.
// Never: knows of policies.
// Concurrency: functions of their arguments only.
package connect
