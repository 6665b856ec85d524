package discovery

import (
	"net/netip"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"encoding/json"

	"breakwater.dev/xds"
)

// A node says what its bootstrap says.
func TestNodeOfABootstrap(t *testing.T) {
	listen := netip.MustParseAddrPort("[::1]:15001")
	text, err := xds.Bootstrap(xds.BootstrapOptions{
		NodeID: "app-1", NodeCluster: "app", XDS: "127.0.0.1:18000", Listen: listen,
		Admin: netip.MustParseAddrPort("127.0.0.1:9901"), Upstreams: []string{"search", "payments", "search"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := yaml.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	node, err := json.Marshal(map[string]any{"node": fields["node"]})
	if err != nil {
		t.Fatal(err)
	}
	var b bootstrapv3.Bootstrap
	if err := protojson.Unmarshal(node, &b); err != nil {
		t.Fatal(err)
	}
	got, err := parseNode(b.GetNode())
	if err != nil {
		t.Fatal(err)
	}
	want := Node{ID: "app-1", Cluster: "app", Listen: listen, Upstreams: []string{"payments", "search"}}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
