package gate

import (
	"testing"

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

// TestSamplingOfASet shows that all calls of the other breakers are logged, and that 0 is replaced by 1.
func TestSamplingOfASet(t *testing.T) {
	web, other := breaker.Key{Upstream: "web"}, breaker.Key{Upstream: "other"}
	s := NewSet([]Gate{
		{Key: web, Sampling: wire.Sampling{Passed: 2, Exact: true}}, {Key: other, Open: wire.Million, Sampling: wire.Sampling{Rejected: 4}},
		{Key: breaker.Key{Upstream: "all"}, Open: wire.Million, Sampling: wire.Sampling{Passed: 1}},
	}, LogFilter{})
	for key, want := range map[breaker.Key]wire.Sampling{
		web: {Passed: 2, Rejected: 1, Exact: true}, other: {Passed: 1, Rejected: 4}, {Upstream: "all"}: {Passed: 1, Rejected: 1}, {Upstream: "none"}: {Passed: 1, Rejected: 1},
	} {
		if got := s.Sampling(key); got != want {
			t.Errorf("%s: sampling %+v, want %+v", key, got, want)
		}
	}
}

// TestBrief shows that gates for half-open and for ramps are brief, in the proxies that have them, and in their part of the layer.
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
		part := map[bool]uint32{true: 1 << wire.RuntimePartOf(web)}
		if one, two := s.Brief("one"), s.Brief("two"); one != part[tt.one] || two != part[tt.two] {
			t.Errorf("%s: parts %b and %b, want %b and %b", name, one, two, part[tt.one], part[tt.two])
		}
	}
	if (*Set)(nil).Brief("one") != 0 {
		t.Error("a set without gates is brief")
	}
}
