package cluster

import (
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"breakwater.dev/outlier"
)

func TestFullOutlierDetectionSetsEveryFieldOfEnvoy(t *testing.T) {
	config := full[outlier.Config]()
	got := unset(outlierDetection(&config))
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
	config := full[outlier.Config]()
	everyFieldCounts(t, func(c outlier.Config) proto.Message { return outlierDetection(&c) }, "Scope")
	config.Scope = outlier.Mesh
	if got := outlierDetection(&config); got != nil {
		t.Errorf("where the mesh judges, the proxy is to judge by %v", got)
	}
}
