package cluster

import (
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"

	"breakwater.dev/policy"
)

func TestFullLimitsSetEveryFieldOfEnvoy(t *testing.T) {
	cb := circuitBreakers(full[policy.ConnectionLimits]())
	if got := unset(cb); got != nil {
		t.Errorf("CircuitBreakers: not set: %v", got)
	}
	if got, want := len(cb.GetThresholds()), len(corev3.RoutingPriority_name); got != want {
		t.Fatalf("got thresholds of %d priorities, want all %d", got, want)
	}
	for _, th := range cb.GetThresholds() {
		for _, name := range unset(th) {
			// The default priority is 0, which proto3 cannot tell from unset.
			if name != "priority" || th.GetPriority() != corev3.RoutingPriority_DEFAULT {
				t.Errorf("Thresholds of priority %s: not set: %s", th.GetPriority(), name)
			}
		}
		if got := unset(th.GetRetryBudget()); got != nil {
			t.Errorf("RetryBudget of priority %s: not set: %v", th.GetPriority(), got)
		}
	}
}

func TestZeroLimitsAreWrittenOut(t *testing.T) {
	th := circuitBreakers(policy.ConnectionLimits{}).GetThresholds()[1]
	want := &clusterv3.CircuitBreakers_Thresholds{
		Priority:       corev3.RoutingPriority_HIGH,
		MaxConnections: count(0), MaxPendingRequests: count(0), MaxRequests: count(0), MaxRetries: count(0),
	}
	if !proto.Equal(th, want) {
		t.Errorf("got %v, want %v", th, want)
	}
}

func TestEveryFieldOfLimitsReachesEnvoy(t *testing.T) {
	everyFieldCounts(t, func(l policy.Limits) proto.Message {
		return thresholds(corev3.RoutingPriority_HIGH, l)
	})
	everyFieldCounts(t, func(b policy.RetryBudget) proto.Message {
		return thresholds(corev3.RoutingPriority_HIGH, policy.Limits{RetryBudget: &b})
	})
	everyFieldCounts(t, func(l policy.ConnectionLimits) proto.Message { return circuitBreakers(l) })
}
