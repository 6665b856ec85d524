package gate

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"breakwater.dev/breaker"
)

// TestEstablished shows that a half-open breaker for connections counts those that have stayed up for minUptime, up to the
// number of permits.
func TestEstablished(t *testing.T) {
	c := quick()
	c.PermittedNumberOfCallsInHalfOpenState, c.SuccessThreshold = 3, 10
	r := newRig(t, c)
	wants := func(when string, want map[breaker.Key]uint32) {
		t.Helper()
		if diff := cmp.Diff(want, r.table.Established(r.input(r.nodes))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	none := map[breaker.Key]uint32{}
	r.nodes = []Proxy{{Node: "one", Links: Links{Connections: 5}}, {Node: "two", Links: Links{Connections: 1}}}
	wants("closed", none)
	for _, key := range []breaker.Key{keyDB, keyWeb} {
		r.fail(key, 0)
	}
	wants("open", none)
	r.now = r.now.Add(c.WaitDurationInOpenState + 5*time.Second)
	wants("half-open for less than minUptime", none)
	r.now = r.now.Add(minUptime)
	wants("more connections than permits", map[breaker.Key]uint32{keyDB: 3})
	r.nodes = []Proxy{{Node: "one", Links: Links{Connections: 1}}, {Node: "two", Links: Links{Connections: 1}}}
	wants("one connection in each of two proxies", map[breaker.Key]uint32{keyDB: 2})
	r.nodes = nil
	wants("no proxy", none)
	r.nodes = []Proxy{{Node: "one", Links: Links{Connections: 90}}}
	probe := []breaker.Reported{{Outcome: breaker.Success, At: r.now, OneIn: 1, Probe: true}}
	for range c.SuccessThreshold {
		r.engine.Report(keyDB, probe, r.now)
	}
	wants("closed again", none)
}
