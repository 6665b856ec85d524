package gates

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"breakwater.dev/breaker"
)

// TestHolding: of a breaker of connections in half-open, as many as hold of its probes, and
// only once they have held.
func TestHolding(t *testing.T) {
	c := quick()
	c.PermittedNumberOfCallsInHalfOpenState, c.SuccessThreshold = 3, 10
	r := newRig(t, c)
	proxies := func(string) []Proxy { return r.nodes }
	wants := func(when string, want map[breaker.Key]uint32) {
		t.Helper()
		if diff := cmp.Diff(want, r.board.Holding(r.now, proxies)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	none := map[breaker.Key]uint32{}
	r.nodes = []Proxy{{"one", 5}, {"two", 1}}
	wants("closed", none)
	for _, key := range []breaker.Key{keyDB, keyWeb} {
		r.fail(key, 0)
	}
	wants("open", none)
	r.now = r.now.Add(c.WaitDurationInOpenState + 5*time.Second)
	wants("half-open, without a probe", none)
	probe := []breaker.Reported{{Outcome: breaker.Success, At: r.now, OneIn: 1, Probe: true}}
	r.engine.Report(keyDB, probe, r.now)
	r.engine.Report(keyDB, probe, r.now)
	wants("two probes, just now", map[breaker.Key]uint32{})
	r.now = r.now.Add(hold)
	wants("two that hold", map[breaker.Key]uint32{keyDB: 2})
	r.nodes = []Proxy{{"one", 1}, {"two", 0}}
	wants("of two one holds", map[breaker.Key]uint32{keyDB: 1})
	r.nodes = nil
	wants("none holds", none)
	r.nodes = []Proxy{{"one", 90}}
	for range 4 {
		r.engine.Report(keyDB, probe, r.now)
	}
	wants("never more than are permitted", map[breaker.Key]uint32{keyDB: 3})
	for range 4 {
		r.engine.Report(keyDB, probe, r.now)
	}
	wants("closed again", none)
}
