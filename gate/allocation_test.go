package gate

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"breakwater.dev/breaker"
)

// limits are the gates of connections that a board has now, by node.
func (r *rig) limits() map[string]uint32 {
	r.t.Helper()
	limits := map[string]uint32{}
	gates, next := r.gates(r.nodes)
	for _, g := range gates {
		limits[g.Key.Node] = *g.Connections
	}
	if limits[""] != 0 || len(limits) > 1 && next != r.now.Add(allocationPeriod) {
		r.t.Fatalf("gates %v until %d, want none for those without a permit, and another deal in a second", limits, next)
	}
	delete(limits, "")
	return limits
}

// applied has all proxies apply the gates of now.
func (r *rig) applied() {
	r.t.Helper()
	gates, _ := r.gates(r.nodes)
	in := NewSet(gates, LogFilter{})
	for i := range r.nodes {
		r.nodes[i].Gates, r.nodes[i].Told = in, r.now
	}
}

func (r *rig) wantLimits(when string, want map[string]uint32) {
	r.t.Helper()
	if diff := cmp.Diff(want, r.limits()); diff != "" {
		r.t.Errorf("%s: limits (-want +got):\n%s", when, diff)
	}
}

// halfOpen is a board whose database is half-open, with these proxies.
func halfOpen(t *testing.T, permits uint32, proxies ...Proxy) *rig {
	t.Helper()
	c := quick()
	c.PermittedNumberOfCallsInHalfOpenState, c.MaxWaitDurationInHalfOpenState = permits, time.Hour
	r := newRig(t, c)
	r.nodes = proxies
	r.fail(keyDB, 10)
	r.wantLimits("open", map[string]uint32{})
	r.applied()
	r.pass(30 * time.Second)
	return r
}

// TestPermitsAreDealtOut: where nobody is known to call, all proxies together let as many new
// connections through as there are permits, and not always the same.
func TestPermitsAreDealtOut(t *testing.T) {
	r := halfOpen(t, 3, Proxy{Node: "a"}, Proxy{Node: "b", Links: Links{Connections: 7}}, Proxy{Node: "c", Links: Links{Connections: 1}}, Proxy{Node: "d"}, Proxy{Node: "e"})
	probed := map[string]bool{}
	for range 5 {
		limits, more := r.limits(), uint32(0)
		for _, p := range r.nodes {
			if limit, dealt := limits[p.Node]; dealt {
				more += limit - p.Connections
				probed[p.Node] = true
			}
		}
		if more != 3 {
			t.Errorf("limits %v let %d connections more through, want 3", limits, more)
		}
		r.applied()
		r.engine.Report(keyDB, []breaker.Reported{{Outcome: breaker.Failure, At: r.now, Probe: true}}, r.now)
		r.deliver(0)
		r.limits()
		r.applied()
		r.pass(30 * time.Second)
	}
	if len(probed) != 5 {
		t.Errorf("probes were only ever let through by %v", probed)
	}
}

// TestCallersGetThePermits: and a proxy alone gets all of them.
func TestCallersGetThePermits(t *testing.T) {
	r := halfOpen(t, 3, Proxy{Node: "a"}, Proxy{Node: "b", Links: Links{Connections: 2}}, Proxy{Node: "c"}, Proxy{Node: "d"})
	r.nodes[1].Called, r.nodes[3].Called = r.now.Add(-time.Second), r.now.Add(-activeFor-1)
	r.wantLimits("one has called of late", map[string]uint32{"b": 5})

	r = halfOpen(t, 3, Proxy{Node: "a", Links: Links{Connections: 2}})
	r.wantLimits("there is but one", map[string]uint32{"a": 5})
	r.nodes[0].Connections = 4
	r.wantLimits("it has used two", map[string]uint32{"a": 5})
	r.nodes[0].Connections = 1
	r.wantLimits("an old one has ended", map[string]uint32{"a": 4})
}

// TestPermitMoves from a proxy that does not use it to one that lets nobody through, once it is
// known to be gone from the first.
func TestPermitMoves(t *testing.T) {
	r := halfOpen(t, 1, Proxy{Node: "a", Links: Links{Called: 1}}, Proxy{Node: "b"})
	r.nodes[0].Called = r.now
	r.wantLimits("dealt to the caller", map[string]uint32{"a": 1})
	r.applied()
	r.nodes[1].Refused = r.now.Add(10)
	r.nodes[1].Called = r.nodes[1].Refused
	r.pass(minPatience - 1)
	r.wantLimits("it may yet be used", map[string]uint32{"a": 1})
	r.pass(1)
	r.wantLimits("taken", map[string]uint32{})
	r.pass(10 * time.Second)
	r.nodes[1].Refused = r.now
	r.wantLimits("the proxy does not obey yet", map[string]uint32{})
	r.applied()
	r.wantLimits("it obeys, but may have let one through", map[string]uint32{})
	r.pass(reportDelay)
	r.nodes[0].Connecting = 1
	r.wantLimits("which it has", map[string]uint32{})
	r.nodes[0].Connecting, r.nodes[0].Connections = 0, 1
	r.pass(time.Second)
	r.wantLimits("and which holds", map[string]uint32{})
	r.nodes[0].Connections = 0
	r.wantLimits("it is gone", map[string]uint32{"b": 1})
}

// TestPermitOfOneThatLeft is its own for as long as its gates are in force.
func TestPermitOfOneThatLeft(t *testing.T) {
	r := halfOpen(t, 1, Proxy{Node: "a"}, Proxy{Node: "b"})
	r.nodes[0].Called = r.now
	r.wantLimits("dealt to the caller", map[string]uint32{"a": 1})
	r.applied()
	r.nodes[0].Left = true
	r.pass(10 * time.Second)
	r.nodes[1].Refused = r.now
	r.wantLimits("it has left", map[string]uint32{"a": 1})
	r.nodes = r.nodes[1:]
	r.wantLimits("its gates fell away", map[string]uint32{"b": 1})
}

// TestSlowCallersKeepTheirPermit for twice the time between their calls.
func TestSlowCallersKeepTheirPermit(t *testing.T) {
	r := halfOpen(t, 1, Proxy{Node: "a", Links: Links{Pause: 4 * time.Second}}, Proxy{Node: "b"})
	r.nodes[0].Called = r.now
	r.wantLimits("dealt to the caller", map[string]uint32{"a": 1})
	r.applied()
	r.nodes[1].Refused = r.now.Add(1)
	r.pass(8*time.Second - 1)
	r.wantLimits("it may yet call", map[string]uint32{"a": 1})
	r.pass(1)
	r.wantLimits("it does not", map[string]uint32{})
}

// TestHiddenConnections: a proxy that lets nobody through, though it has a permit and has used none, has
// connections that it never told of. Its permits come on top of those.
func TestHiddenConnections(t *testing.T) {
	r := halfOpen(t, 2, Proxy{Node: "a"})
	r.wantLimits("no connection is known", map[string]uint32{"a": 2})
	r.applied()
	for found := uint32(2); found <= 6; found += 2 {
		r.pass(2 * time.Second)
		r.nodes[0].Refused, r.nodes[0].Called = r.now, r.now
		r.pass(reportDelay)
		r.wantLimits(fmt.Sprintf("%d are there", found), map[string]uint32{"a": found + 2})
		r.applied()
	}
	r.pass(time.Second)
	r.nodes[0].Admitted, r.nodes[0].Connections = r.now, 1
	r.nodes[0].Refused = r.now.Add(1)
	r.pass(reportDelay + 1)
	r.wantLimits("it is in use", map[string]uint32{"a": 8})
}

// TestHiddenConnectionsOfABusyProxy are found however often its application is refused.
func TestHiddenConnectionsOfABusyProxy(t *testing.T) {
	r := halfOpen(t, 2, Proxy{Node: "a"})
	for range 100 {
		r.pass(100 * time.Millisecond)
		r.nodes[0].Refused, r.nodes[0].Called = r.now, r.now
		r.applied()
	}
	if got := r.limits()["a"]; got < 8 {
		t.Errorf("after 10 s of refusals each 100 ms it may have %d connections, want 8 or more", got)
	}
}

// TestHiddenConnectionsEndWithTheirProxy: one that has restarted has none of the process before, though it
// obeys again before permits are dealt.
func TestHiddenConnectionsEndWithTheirProxy(t *testing.T) {
	r := halfOpen(t, 1, Proxy{Node: "a"})
	r.limits()
	for range 5 {
		r.applied()
		r.pass(time.Second)
		r.nodes[0].Refused, r.nodes[0].Called = r.now, r.now
		r.pass(reportDelay)
		r.limits()
	}
	r.wantLimits("five are there", map[string]uint32{"a": 6})
	r.nodes[0].Began = r.now
	r.applied()
	r.pass(time.Second)
	r.wantLimits("it has begun anew", map[string]uint32{"a": 1})
}

// TestBarredProxiesGetNoPermit, and lose the one that they have.
func TestBarredProxiesGetNoPermit(t *testing.T) {
	r := halfOpen(t, 1, Proxy{Node: "a", Barred: true}, Proxy{Node: "b"})
	r.nodes[0].Called = r.now
	r.wantLimits("one may not call", map[string]uint32{"b": 1})
	r.applied()
	r.nodes[0].Barred, r.nodes[1].Barred = false, true
	r.wantLimits("now it is the other", map[string]uint32{})
	r.applied()
	r.pass(reportDelay)
	r.nodes[0].Refused = r.now
	r.wantLimits("it is known to obey", map[string]uint32{"a": 1})
}

// TestNodesBreakerOfConnections: a proxy's own breaker gives all permits to it, on top of what it had.
func TestNodesBreakerOfConnections(t *testing.T) {
	c := quick()
	s := set(c)
	s.Upstreams[1].Routes[0].Breaker.Spec.PerNode = true
	r := newRig(t, c)
	r.apply(s)
	r.nodes = []Proxy{{Node: "a", Links: Links{Connections: 1}}, {Node: "b", Links: Links{Connections: 5}}}
	own := keyDB
	own.Node = "b"
	r.fail(own, 10)
	r.pass(30 * time.Second)
	eight := uint32(8)
	r.want(allocationPeriod, Gate{Key: own, Probe: true, Connections: &eight})
	r.nodes[1].Connections = 7
	r.want(allocationPeriod, Gate{Key: own, Probe: true, Connections: &eight})
}
