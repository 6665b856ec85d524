// Package deploytest checks that deploy/k8s would work. It is a separate module, so that
// Kubernetes' schemas are no dependency of Breakwater.
//
// In: the manifests, and a breakwater binary built from this tree.
// Out: failed tests.
// Called by: make test.
// Never: needs a cluster, or the network.
// Concurrency: tests run one after another.
package deploytest
