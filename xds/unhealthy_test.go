package xds

import (
	"net/netip"
	"slices"
	"testing"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"breakwater.dev/policy"
)

// zoned has endpoints in two zones, of both families.
func zoned(t *testing.T) *Resource {
	t.Helper()
	var endpoints []policy.Endpoint
	for i, text := range []string{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.1:81", "[2001:db8::1]:80"} {
		ap := netip.MustParseAddrPort(text)
		endpoints = append(endpoints, policy.Endpoint{Address: ap.Addr(), Port: ap.Port(), Weight: uint32(i + 1), Zone: []string{"a", "b"}[i%2]})
	}
	r, err := newResource("u", loadAssignment(&policy.Upstream{Name: "u", Endpoints: endpoints}))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// health returns the endpoints of a resource, those marked UNHEALTHY with a "!".
func health(t *testing.T, r *Resource) []string {
	t.Helper()
	la := &endpointv3.ClusterLoadAssignment{}
	if err := r.Body.UnmarshalTo(la); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, locality := range la.Endpoints {
		for _, e := range locality.LbEndpoints {
			socket := e.GetEndpoint().GetAddress().GetSocketAddress()
			ap := netip.AddrPortFrom(netip.MustParseAddr(socket.GetAddress()), uint16(socket.GetPortValue()))
			mark := map[string]string{"UNKNOWN": "", "UNHEALTHY": "!"}[e.HealthStatus.String()]
			all = append(all, locality.Locality.Zone+" "+ap.String()+mark)
		}
	}
	return all
}

func TestWithUnhealthy(t *testing.T) {
	tests := map[string]struct{ out, want []string }{
		"none": {nil, []string{"a 10.0.0.1:80", "a 10.0.0.1:81", "b 10.0.0.2:80", "b [2001:db8::1]:80"}},
		"some": {[]string{"[2001:db8::1]:80", "10.0.0.1:81"}, []string{"a 10.0.0.1:80", "a 10.0.0.1:81!", "b 10.0.0.2:80", "b [2001:db8::1]:80!"}},
		"others as well": {
			[]string{"10.0.0.2:81", "192.0.2.1:80", "10.0.0.2:80", "10.0.0.2:80"},
			[]string{"a 10.0.0.1:80", "a 10.0.0.1:81", "b 10.0.0.2:80!", "b [2001:db8::1]:80"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := zoned(t)
			var out []netip.AddrPort
			for _, text := range tt.out {
				out = append(out, netip.MustParseAddrPort(text))
			}
			got, err := r.WithUnhealthy(out)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(health(t, got), tt.want) {
				t.Errorf("got %q, want %q", health(t, got), tt.want)
			}
			if (got.Version == r.Version) != (len(tt.out) == 0) {
				t.Errorf("version %s after %s", got.Version, r.Version)
			}
			if fresh := zoned(t); r.Version != fresh.Version || !slices.Equal(health(t, r), health(t, fresh)) {
				t.Error("the resource itself has changed")
			}
		})
	}
}

func TestWithUnhealthyOfSomethingElse(t *testing.T) {
	c, err := newResource("u", &endpointv3.LbEndpoint{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.WithUnhealthy(nil); err == nil {
		t.Errorf("got %v, want an error", got)
	}
}
