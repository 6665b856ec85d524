package xds

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"pgregory.net/rapid"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/filter"
)

var egressAddress = netip.MustParseAddrPort("127.0.0.1:10000")

func translate(t rapid.TB, set *policy.Set) Resources {
	t.Helper()
	rs, err := Translate(set, egressAddress)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func (rs Resources) find(url, name string) *Resource {
	return rs[url].Find(name)
}

// versions returns the versions of all resources, by type and name.
func (rs Resources) versions() map[string]string {
	out := map[string]string{}
	for url, list := range rs {
		for _, r := range list.All() {
			out[url+" "+r.Name] = r.Version
		}
	}
	return out
}

func routesOf(t rapid.TB, rs Resources) []*routev3.VirtualHost {
	t.Helper()
	var hosts []*routev3.VirtualHost
	for _, r := range rs[VirtualHostType].All() {
		hosts = append(hosts, r.Message().(*routev3.VirtualHost))
	}
	return hosts
}

func TestTranslateIsDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := drawSet(t)
		first, second := translate(t, set), translate(t, set)
		for url, list := range first {
			for i, r := range list.All() {
				if again := second[url].All()[i]; r.Version != again.Version || !bytes.Equal(r.Value(), again.Value()) {
					t.Errorf("%s %s: version %s and then %s", url, r.Name, r.Version, again.Version)
				}
			}
		}
	})
}

func TestEveryRouteHasItsClusterAndEveryClusterItsEndpoints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := drawSet(t)
		rs := translate(t, set)
		for _, vh := range routesOf(t, rs) {
			for _, r := range vh.GetRoutes() {
				name := r.GetRoute().GetCluster()
				if name != "" && rs.find(ClusterType, name) == nil {
					t.Errorf("route %s names cluster %q, which is not there", r.GetName(), name)
				}
			}
		}
		for _, r := range rs[ClusterType].All() {
			eds := r.Message().(*clusterv3.Cluster).GetEdsClusterConfig()
			if (eds != nil) != (rs.find(EndpointType, r.Name) != nil) {
				t.Errorf("cluster %s: EDS %v, but its endpoints are resource %v", r.Name, eds, rs.find(EndpointType, r.Name))
			}
		}
	})
}

func TestEveryBreakerHasItsRoute(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := drawSet(t)
		var got, want []string
		for _, vh := range routesOf(t, translate(t, set)) {
			for _, r := range vh.GetRoutes() {
				switch filters := r.GetTypedPerFilterConfig(); {
				case filters[filter.ExtProc] != nil && filters[filter.NodeExtProc] != nil:
					t.Errorf("route %s asks twice", r.GetName())
				case filters[filter.ExtProc] != nil:
					got = append(got, r.GetName())
				case filters[filter.NodeExtProc] != nil:
					got = append(got, r.GetName()+" of a node")
				}
			}
		}
		for _, r := range set.Routes() {
			b := r.Breaker
			if !b.Enabled() {
				continue // its route must not ask
			}
			name := b.Spec.Key.String()
			if b.DataPath == policy.Adaptive || !b.FailOpen {
				name += wire.RouteAsking.Suffix()
			}
			if b.Spec.PerNode {
				name += " of a node"
			}
			want = append(want, name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("routes with ext_proc on: %q, want one for each breaker that is not disabled: %q", got, want)
		}
	})
}

func TestAChangeOfOneUpstreamChangesItsResourcesOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := drawSet(t)
		if len(set.Upstreams) == 0 {
			return
		}
		before := translate(t, set).versions()
		i := rapid.IntRange(0, len(set.Upstreams)-1).Draw(t, "changed")
		name := set.Upstreams[i].Name
		set.Upstreams[i] = drawUpstream(t, name)
		after := translate(t, set).versions()
		for key, version := range before {
			url, resource, _ := strings.Cut(key, " ")
			// The last upstream that another takes over from takes the way there along, the last one that trusts a file
			// takes its secret, and one that has any host takes the place of the 404.
			shared := url == SecretType || resource == wire.EgressCluster || resource == wire.VirtualHost("*")
			if after[key] != version && resource != name && resource != wire.VirtualHost(name) && !shared {
				t.Errorf("changing upstream %s changed %s", name, key)
			}
		}
	})
}

func TestTranslateRefusesWhatNoPolicyCompilesTo(t *testing.T) {
	cases := []struct {
		name  string
		spoil func(*policy.Set)
		want  string
	}{
		{"no hosts", func(s *policy.Set) { s.Upstreams[0].Hosts = nil }, "Domains"},
		{"one name twice", func(s *policy.Set) { s.Upstreams[1].Name = s.Upstreams[0].Name }, `"ledger"`},
		{"name of the control plane", func(s *policy.Set) { s.Upstreams[0].Name = "breakwater" }, `"breakwater": the name is taken`},
		{"protocol", func(s *policy.Set) { s.Upstreams[0].Protocol = "UDP" }, `protocol "UDP"`},
		{"balancer", func(s *policy.Set) { s.Upstreams[0].LoadBalancing.Policy = policy.Maglev }, `load balancing policy "Maglev"`},
		{"weight 0", func(s *policy.Set) { s.Upstreams[1].Endpoints[0].Weight = 0 }, "LoadBalancingWeight"},
		{"health check without an interval", func(s *policy.Set) { s.Upstreams[1].HealthCheck.Interval = 0 }, "Interval"},
	}
	for _, c := range cases {
		set := sampleSet()
		c.spoil(set)
		rs, err := Translate(set, egressAddress)
		if rs != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v and error %v, want no resources and an error about %s", c.name, rs, err, c.want)
		}
	}
}

func TestAnUpstreamForAnyHostTakesThePlaceOfThe404(t *testing.T) {
	set := sampleSet()
	set.Upstreams[0].Hosts = []string{"*"}
	hosts := routesOf(t, translate(t, set))
	for _, vh := range hosts {
		if any := slices.Contains(vh.Domains, "*"); any != (vh.Name == wire.VirtualHost(set.Upstreams[0].Name)) {
			t.Errorf("virtual host %q is for any host: %t", vh.Name, any)
		}
	}
}

// TestForKeepsTheNamedUpstreams, and ignores names that the policy does not have.
func TestForKeepsTheNamedUpstreams(t *testing.T) {
	tr, err := NewTranslation(sampleSet(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	rs, err := tr.For([]string{"search", "unheard-of", "ledger", "search"}, egressAddress)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(rs[ClusterType]); !slices.Equal(got, []string{"ledger", "search"}) {
		t.Errorf("got clusters %q, want ledger and search", got)
	}
}

func names(list *List) []string {
	var all []string
	for _, r := range list.All() {
		all = append(all, r.Name)
	}
	return all
}

// TestReachedHasWhoTakesOver: the upstream that takes over, and the one that takes over from it.
func TestReachedHasWhoTakesOver(t *testing.T) {
	set := sampleSet()
	takenOver := func(i int, by string) {
		b := &policy.Breaker{Spec: breaker.Spec{Key: breaker.Key{Upstream: set.Upstreams[i].Name}}}
		b.Fallback.Upstream = &policy.FallbackUpstream{Name: by, Host: by}
		set.Upstreams[i].Routes[0].Breaker = b
	}
	takenOver(1, set.Upstreams[2].Name)
	takenOver(2, set.Upstreams[0].Name)
	if got := Reached(set, []string{set.Upstreams[1].Name}); len(got) != 3 {
		t.Errorf("got %q, want all three", got)
	}
	if got := Reached(set, []string{set.Upstreams[2].Name}); len(got) != 2 {
		t.Errorf("got %q, want the one and who takes over", got)
	}
}

func TestRouteNameHasTheUpstreamAndTheRoute(t *testing.T) {
	var got, want []breaker.Key
	for _, r := range sampleUpstream("payments").Routes {
		want = append(want, breaker.Key{Upstream: "payments", Route: r.Name})
	}
	for _, vh := range routesOf(t, translate(t, sampleSet())) {
		for _, r := range vh.GetRoutes() {
			if key, _, _ := wire.ParseRouteName(r.GetName()); vh.GetName() == wire.VirtualHost("payments") {
				got = append(got, key)
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the routes belong to breakers %v, want %v", got, want)
	}
}
