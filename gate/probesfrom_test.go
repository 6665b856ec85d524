package gate

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"breakwater.dev/breaker"
)

// takeOver makes the engine take the breaker over from itself, so that it admits no probe for a time.
func (r *rig) takeOver(key breaker.Key, wait time.Duration) {
	r.t.Helper()
	h, ok := r.engine.HandOver(key, r.now)
	if !ok || !r.engine.TakeOver(&h, r.now.Add(wait), r.now) {
		r.t.Fatalf("%s was not taken over", key)
	}
}

// TestNoGateProbesBeforeTheBreakerDoes: the proxies go on rejecting until the breaker admits probes. The share of calls
// that ask grows from then on.
func TestNoGateProbesBeforeTheBreakerDoes(t *testing.T) {
	for _, halfOpen := range []bool{true, false} {
		r := newRig(t, quick())
		r.fail(keyWeb, 5_000)
		passed := time.Duration(0)
		if halfOpen {
			passed = 35 * time.Second
			r.pass(passed)
		}
		r.takeOver(keyWeb, time.Minute-passed)
		if !halfOpen {
			r.pass(40 * time.Second)
			passed = 40 * time.Second
		}
		r.want(time.Minute-passed, Gate{Key: keyWeb, Open: 1e6})
		r.pass(time.Minute - passed - 1)
		r.want(1, Gate{Key: keyWeb, Open: 1e6})
		r.pass(2)
		r.want(time.Second-1, Gate{Key: keyWeb, Open: 990_000, Probe: true})
		r.pass(2500*time.Millisecond - 1)
		r.want(500*time.Millisecond, Gate{Key: keyWeb, Open: 960_000, Probe: true})
	}
}

// TestNoConnectionProbesBeforeTheBreakerDoes: no proxy may make a connection until the breaker admits probes, not
// even with a permit that it got before. Connections that stay up do not count as probes until then.
func TestNoConnectionProbesBeforeTheBreakerDoes(t *testing.T) {
	none := uint32(0)
	r := halfOpen(t, 2, Proxy{Node: "one", Links: Links{Connections: 3}}, Proxy{Node: "two"})
	r.wantLimits("half-open", map[string]uint32{"one": 4, "two": 1})
	r.applied()
	r.pass(5 * time.Second)
	r.takeOver(keyDB, 20*time.Second)
	r.want(20*time.Second, Gate{Key: keyDB, Connections: &none})
	wantUp := func(when string, want map[breaker.Key]uint32) {
		t.Helper()
		if diff := cmp.Diff(want, r.table.Established(r.input(r.nodes))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	r.applied()
	wantUp("before", map[breaker.Key]uint32{})
	r.pass(20*time.Second - 1)
	r.want(1, Gate{Key: keyDB, Connections: &none})
	r.pass(1)
	r.wantLimits("afterwards", map[string]uint32{"one": 4, "two": 1})
	wantUp("at first", map[breaker.Key]uint32{})
	r.pass(minUptime)
	wantUp("later", map[breaker.Key]uint32{keyDB: 2})
}
