// Package bootstrap makes the configuration that an Envoy sidecar starts with: its node, its connection to the control plane,
// and its egress address. All other configuration comes from the control plane.
//
// In: [Options].
// Out: a bootstrap as YAML, and the files that it refers to.
// Called by: the command bootstrap, which prints or writes them.
// Never: reads a file, or depends on a policy.
// Concurrency: functions of their arguments only.
package bootstrap
