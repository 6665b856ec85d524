package xds

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"breakwater.dev/endpoints"
	"breakwater.dev/policy"
)

// zoned are endpoints in two zones, of both families.
func zoned() []policy.Endpoint {
	var all []policy.Endpoint
	for i, text := range []string{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.1:81", "[2001:db8::1]:80"} {
		ap := netip.MustParseAddrPort(text)
		all = append(all, policy.Endpoint{Address: ap.Addr(), Port: ap.Port(), Weight: uint32(i + 1), Zone: []string{"a", "b"}[i%2]})
	}
	return all
}

// health returns the endpoints of a resource, those marked UNHEALTHY with a "!".
func health(t *testing.T, r *Resource) []string {
	t.Helper()
	la := &endpointv3.ClusterLoadAssignment{}
	if err := r.Body().UnmarshalTo(la); err != nil {
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

func TestEjectedEndpointsAreUnhealthy(t *testing.T) {
	tests := map[string]struct{ out, want []string }{
		"none": {nil, []string{"a 10.0.0.1:80", "a 10.0.0.1:81", "b 10.0.0.2:80", "b [2001:db8::1]:80"}},
		"some": {[]string{"[2001:db8::1]:80", "10.0.0.1:81"}, []string{"a 10.0.0.1:80", "a 10.0.0.1:81!", "b 10.0.0.2:80", "b [2001:db8::1]:80!"}},
		"others as well": {
			[]string{"10.0.0.2:81", "192.0.2.1:80", "10.0.0.2:80", "10.0.0.2:80"},
			[]string{"a 10.0.0.1:80", "a 10.0.0.1:81", "b 10.0.0.2:80!", "b [2001:db8::1]:80"},
		},
	}
	plain, err := Endpoints("u", endpoints.Upstream{Endpoints: zoned()})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var out []netip.AddrPort
			for _, text := range tt.out {
				out = append(out, netip.MustParseAddrPort(text))
			}
			u, _ := new(endpoints.Table).With("u", zoned()).Eject("u", out).Upstream("u")
			got, err := Endpoints("u", u)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(health(t, got), tt.want) {
				t.Errorf("got %q, want %q", health(t, got), tt.want)
			}
			if (got.Version == plain.Version) != (len(tt.out) == 0) {
				t.Errorf("version %s, and %s without ejections", got.Version, plain.Version)
			}
		})
	}
}

// TestEndpointsComeFromTheTable, and only from there.
func TestEndpointsComeFromTheTable(t *testing.T) {
	set := sampleSet() // "ledger" is found by DNS
	all, err := AllEndpoints(set, new(endpoints.Table).With("payments", zoned()).With("ledger", zoned()).With("unheard-of", zoned()))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].Name != "payments" || all[1].Name != "search" {
		t.Fatalf("got %d resources, want the endpoints of payments and search", len(all))
	}
	if got := len(health(t, all[0])); got != 4 {
		t.Errorf("payments has %d endpoints, want 4", got)
	}
	if got := health(t, all[1]); len(got) > 0 {
		t.Errorf("search, which the table does not know, has %q", got)
	}
	bad := []policy.Endpoint{{Address: netip.MustParseAddr("10.0.0.1"), Port: 80}}
	if _, err := AllEndpoints(set, new(endpoints.Table).With("search", bad)); err == nil || !strings.Contains(err.Error(), `"search"`) {
		t.Errorf("an endpoint of weight 0: %v, want an error that names search", err)
	}
}
