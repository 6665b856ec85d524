package discovery

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"breakwater.dev/xds"
)

// The server reads what a bootstrap says.
func TestNodeOfABootstrap(t *testing.T) {
	listen := netip.MustParseAddrPort("[::1]:15001")
	o := xds.BootstrapOptions{NodeID: "app-1", NodeCluster: "app", Listen: listen, Upstreams: []string{"search", "payments", "search"}}
	node, err := o.Node()
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseNode(node)
	if err != nil {
		t.Fatal(err)
	}
	want := Node{ID: "app-1", Cluster: "app", Listen: listen, Upstreams: []string{"payments", "search"}}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
