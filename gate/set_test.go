package gate

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"breakwater.dev/breaker"
	"breakwater.dev/wire"
)

// TestConnections shows that a proxy's own gate takes precedence over the gate for all proxies.
func TestConnections(t *testing.T) {
	none, three := uint32(0), uint32(3)
	db, own := breaker.Key{Upstream: "db"}, breaker.Key{Upstream: "db", Node: "one"}
	gates := NewSet([]Gate{{Key: db, Connections: &none}, {Key: own, Connections: &three}, {Key: breaker.Key{Upstream: "db", Node: "free"}}, {Key: breaker.Key{Upstream: "web"}, Open: wire.Million}}, LogFilter{})
	for _, tt := range []struct {
		gates    *Set
		upstream string
		node     string
		limit    uint32
		gated    bool
	}{
		{gates, "db", "one", 3, true}, {gates, "db", "free", 0, false}, {gates, "db", "two", 0, true}, {gates, "web", "one", 0, false}, {nil, "db", "one", 0, false},
	} {
		if limit, gated := tt.gates.Connections(breaker.Key{Upstream: tt.upstream}, tt.node); limit != tt.limit || gated != tt.gated {
			t.Errorf("%s in %s: %d, %t, want %d, %t", tt.upstream, tt.node, limit, gated, tt.limit, tt.gated)
		}
	}
}

// TestSamplingOfASet shows that breakers whose calls are all logged are left out, and that 0 is replaced by 1.
func TestSamplingOfASet(t *testing.T) {
	web, other := breaker.Key{Upstream: "web"}, breaker.Key{Upstream: "other"}
	s := NewSet([]Gate{
		{Key: web, Sampling: wire.Sampling{Passed: 2, Exact: true}}, {Key: other, Open: wire.Million, Sampling: wire.Sampling{Rejected: 4}},
		{Key: breaker.Key{Upstream: "all"}, Open: wire.Million, Sampling: wire.Sampling{Passed: 1}},
	}, LogFilter{})
	want := map[breaker.Key]wire.Sampling{web: {Passed: 2, Rejected: 1, Exact: true}, other: {Passed: 1, Rejected: 4}}
	if diff := cmp.Diff(want, s.Sampling()); diff != "" {
		t.Errorf("sampling (-want +got):\n%s", diff)
	}
}

// TestBrief shows that gates for half-open and for ramps are brief, in the proxies that have them.
func TestBrief(t *testing.T) {
	web := breaker.Key{Upstream: "web"}
	own := breaker.Key{Upstream: "web", Node: "one"}
	for name, tt := range map[string]struct {
		gates    []Gate
		one, two bool
	}{
		"none":                {nil, false, false},
		"open":                {[]Gate{{Key: web, Open: wire.Million}}, false, false},
		"half-open":           {[]Gate{{Key: web, Open: wire.Million, Probe: true}}, true, true},
		"a ramp":              {[]Gate{{Key: web, Open: 1}}, true, true},
		"a ramp in one proxy": {[]Gate{{Key: own, Open: 1}, {Key: web, Open: wire.Million}}, true, false},
		"a sample":            {[]Gate{{Key: web, Sampling: wire.Sampling{Passed: 8}}}, false, false},
	} {
		s := NewSet(tt.gates, LogFilter{})
		if one, two := s.Brief("one"), s.Brief("two"); one != tt.one || two != tt.two {
			t.Errorf("%s: %t and %t, want %t and %t", name, one, two, tt.one, tt.two)
		}
	}
	if (*Set)(nil).Brief("one") {
		t.Error("a set without gates is brief")
	}
}
