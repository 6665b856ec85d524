package gate

import (
	"testing"

	"pgregory.net/rapid"

	"breakwater.dev/wire"
)

// TestSharesAreCumulative shows that no share is smaller than the one before it, since a proxy compares one random number
// with each in turn, and that each kind gets the right number of requests. If all are logged, no request gets as far as the
// sample.
func TestSharesAreCumulative(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := Gate{
			Open:     rapid.Uint32Range(0, wire.Million+1).Draw(t, "open"),
			Sampling: wire.Sampling{Passed: rapid.Uint32Range(0, 1024).Draw(t, "passed"), Rejected: rapid.Uint32Range(0, 1024).Draw(t, "rejected"), Exact: rapid.Bool().Draw(t, "exact")},
		}
		counted, open, sampled := g.Share(wire.RouteCounted), g.Share(wire.RouteOpen), g.Share(wire.RouteSampled)
		if counted > open || open > sampled || sampled > wire.Million {
			t.Fatalf("counted %d, open %d, sampled %d of a million", counted, open, sampled)
		}
		sampling, exact := g.Sampling.All(), map[bool]uint32{true: wire.Million}[g.Sampling.Exact]
		if got := g.Share(wire.RouteExact); got != exact {
			t.Errorf("exact %d of a million, want %d", got, exact)
		}
		if open != min(g.Open, wire.Million) || counted != open/sampling.Rejected || sampled-open != (wire.Million-open)/sampling.Passed {
			t.Errorf("counted %d, open %d, sampled %d of a million", counted, open, sampled)
		}
	})
}

// TestSharesOfTheZeroGate shows that all requests go through and are logged.
func TestSharesOfTheZeroGate(t *testing.T) {
	var g Gate
	for kind := range wire.RouteClosed + 1 { // the last one
		want := uint32(0)
		if kind == wire.RouteSampled {
			want = wire.Million
		}
		if got := g.Share(kind); got != want {
			t.Errorf("kind %q: %d of a million, want %d", kind, got, want)
		}
	}
}
