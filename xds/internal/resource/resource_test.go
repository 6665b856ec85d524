package resource

import (
	"bytes"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"pgregory.net/rapid"
)

// TestFieldsOfResponses: both kinds of responses read the resource from its bytes, whatever its name, version and content are.
func TestFieldsOfResponses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(0, 300, -1)
		body := &anypb.Any{TypeUrl: text.Draw(t, "type"), Value: rapid.SliceOfN(rapid.Byte(), 0, 70_000).Draw(t, "value")}
		r := New(text.Draw(t, "name"), text.Draw(t, "version"), body)
		var delta discoveryv3.DeltaDiscoveryResponse
		if err := proto.Unmarshal(r.Delta().ReadOnlyData(), &delta); err != nil {
			t.Fatal(err)
		}
		want := &discoveryv3.Resource{Name: r.Name, Version: r.Version, Resource: body}
		if len(delta.Resources) != 1 || !proto.Equal(delta.Resources[0], want) {
			t.Fatalf("delta has %v, want %v", delta.Resources, want)
		}
		var sotw discoveryv3.DiscoveryResponse
		if err := proto.Unmarshal(r.Sotw().ReadOnlyData(), &sotw); err != nil {
			t.Fatal(err)
		}
		if len(sotw.Resources) != 1 || !proto.Equal(sotw.Resources[0], body) {
			t.Fatalf("SotW has %v, want %v", sotw.Resources, body)
		}
		if !bytes.Equal(r.Value(), body.Value) || !proto.Equal(r.Body(), body) {
			t.Fatalf("the content is %q, want %q", r.Value(), body.Value)
		}
	})
}

// TestMake refuses a message that Envoy would refuse, and returns every other one as it was.
func TestMake(t *testing.T) {
	good := &routev3.VirtualHost{Name: "a", Domains: []string{"a"}}
	r, err := Make("routes/a", good)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Message(); !proto.Equal(got, good) || r.Version != VersionOf(r.Value()) || r.IsClaimed() {
		t.Errorf("got %v in version %q", got, r.Version)
	}
	if _, err := Make("routes/a", &routev3.VirtualHost{Name: "a"}); err == nil {
		t.Error("a virtual host without hosts is made")
	}
	if c := Claimed("a", "1"); !c.IsClaimed() || c.Value() != nil {
		t.Errorf("a claimed resource has a content of %d bytes", len(c.Value()))
	}
}
