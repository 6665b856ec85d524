package node

import (
	"net/netip"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/google/go-cmp/cmp"

	"breakwater.dev/wire"
	"breakwater.dev/xds/bootstrap"
)

// The server reads what a bootstrap says.
func TestNodeOfABootstrap(t *testing.T) {
	listen := netip.MustParseAddrPort("[::1]:15001")
	o := bootstrap.Options{NodeID: "app-1", NodeCluster: "app", Listen: listen, Upstreams: []string{"search", "payments", "search"}}
	node, err := o.Node()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(node)
	if err != nil {
		t.Fatal(err)
	}
	want := Node{ID: "app-1", Cluster: "app", Listen: listen, Upstreams: []string{"payments", "search"}}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Ids that ext_proc takes for a breaker of their own are taken here.
func TestNodeIDs(t *testing.T) {
	for _, id := range []string{"x", "sidecar~10.0.0.7~shop-1.shop~svc.cluster.local", "Zürich 1", strings.Repeat("x", wire.MaxNodeID)} {
		got, err := Parse(&corev3.Node{Id: id})
		if err != nil || got.ID != id {
			t.Errorf("%q: %q, %v", id, got.ID, err)
		}
	}
}
