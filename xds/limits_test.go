package xds

import (
	"reflect"
	"slices"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"breakwater.dev/outlier"
	"breakwater.dev/policy"
)

// unset returns the fields of m that have no value.
func unset(m proto.Message) []protoreflect.Name {
	var names []protoreflect.Name
	fields := m.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); !m.ProtoReflect().Has(f) {
			names = append(names, f.Name())
		}
	}
	return names
}

func TestFullLimitsSetEveryFieldOfEnvoy(t *testing.T) {
	cb := circuitBreakers(policy.ConnectionLimits{
		Default: fullLimits(), High: fullLimits(), PerEndpointMaxConnections: 7,
	})
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

func TestFullOutlierDetectionSetsEveryFieldOfEnvoy(t *testing.T) {
	full := fullOutlier()
	got := unset(outlierDetection(&full))
	// Monitors are extensions, of which Envoy has none to offer (outlier_detection.proto).
	if want := []protoreflect.Name{"monitors"}; !reflect.DeepEqual(got, want) {
		t.Errorf("not set: %v, want %v", got, want)
	}
}

func TestZeroOutlierDetectionLeavesNothingToDefaults(t *testing.T) {
	got := unset(outlierDetection(&outlier.Config{}))
	// A bool that is false is false, its default.
	want := []protoreflect.Name{"split_external_local_origin_errors", "monitors"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("not set: %v, want %v", got, want)
	}
}

func TestEveryFieldOfOutlierConfigReachesEnvoy(t *testing.T) {
	full := fullOutlier()
	everyFieldCounts(t, full, func(c outlier.Config) proto.Message { return outlierDetection(&c) }, "Scope")
	full.Scope = outlier.Mesh
	if got := outlierDetection(&full); got != nil {
		t.Errorf("where the mesh judges, the proxy is to judge by %v", got)
	}
}

func TestEveryFieldOfLimitsReachesEnvoy(t *testing.T) {
	everyFieldCounts(t, fullLimits(), func(l policy.Limits) proto.Message {
		return thresholds(corev3.RoutingPriority_HIGH, l)
	})
	everyFieldCounts(t, *fullLimits().RetryBudget, func(b policy.RetryBudget) proto.Message {
		return thresholds(corev3.RoutingPriority_HIGH, policy.Limits{RetryBudget: &b})
	})
	everyFieldCounts(t, policy.ConnectionLimits{Default: fullLimits(), High: fullLimits(), PerEndpointMaxConnections: 1},
		func(l policy.ConnectionLimits) proto.Message { return circuitBreakers(l) })
}

// everyFieldCounts clears the fields of full one at a time: each has to make a difference,
// but for those that are not Envoy's.
func everyFieldCounts[T any](t *testing.T, full T, translate func(T) proto.Message, ours ...string) {
	t.Helper()
	whole := translate(full)
	for i := range reflect.TypeFor[T]().NumField() {
		cut := full
		field := reflect.ValueOf(&cut).Elem().Field(i)
		name := reflect.TypeFor[T]().Field(i).Name
		if slices.Contains(ours, name) {
			continue
		}
		if field.IsZero() {
			t.Errorf("%s is not set in the full value", name)
		}
		field.SetZero()
		if proto.Equal(whole, translate(cut)) {
			t.Errorf("%s makes no difference", name)
		}
	}
}
