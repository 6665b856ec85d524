package discovery

import (
	"testing"
	"testing/synctest"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/google/go-cmp/cmp"

	"breakwater.dev/gate"
	"breakwater.dev/wire"
	"breakwater.dev/xds"
)

// TestConnected: each proxy once, in order, with what it calls.
func TestConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		defer s.Close()
		for _, n := range []*corev3.Node{nodeOf("b", map[string]any{wire.MetadataUpstreams: []any{"y", "x"}}), nodeOf("a", nil), nodeOf("b", map[string]any{wire.MetadataUpstreams: []any{"y", "x"}})} {
			connectDelta(t, s, n).subscribe(xds.ClusterType)
		}
		synctest.Wait()
		want := []gate.Node{{ID: "a", Workload: "shop"}, {ID: "b", Workload: "shop", Upstreams: []string{"x", "y"}}}
		if diff := cmp.Diff(want, s.Connected()); diff != "" {
			t.Errorf("connected (-want +got):\n%s", diff)
		}
	})
}
