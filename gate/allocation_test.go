package gate

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"breakwater.dev/breaker"
)

// limits returns the current limits of connections to the database, by node. It checks that proxies without a permit have
// the limit 0, and that permits are allocated again after allocationPeriod.
func (r *rig) limits() map[string]uint32 {
	r.t.Helper()
	limits := map[string]uint32{}
	gates, next := r.gates(r.nodes)
	for _, g := range gates {
		limits[g.Key.Node] = *g.Connections
	}
	if limits[""] != 0 || len(limits) > 1 && next != r.now.Add(allocationPeriod) {
		r.t.Fatalf("limits %v until %d, want 0 for proxies without a permit, and another allocation in a second", limits, next)
	}
	delete(limits, "")
	return limits
}

// applied makes all proxies apply the current gates.
func (r *rig) applied() {
	r.t.Helper()
	gates, _ := r.gates(r.nodes)
	current := Uniform(NewSet(gates, LogFilter{}))
	for i := range r.nodes {
		r.nodes[i].Gates, r.nodes[i].Acknowledged = current, r.now
	}
}

func (r *rig) wantLimits(when string, want map[string]uint32) {
	r.t.Helper()
	if diff := cmp.Diff(want, r.limits()); diff != "" {
		r.t.Errorf("%s: limits (-want +got):\n%s", when, diff)
	}
}

// halfOpen returns a rig with these proxies, in which the database's breaker is half-open.
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

// TestPermitsAreDivided shows that all proxies together admit as many new connections as there are permits, if none of
// them is active. Other proxies get a permit each time.
func TestPermitsAreDivided(t *testing.T) {
	r := halfOpen(t, 3, Proxy{Node: "a"}, Proxy{Node: "b", Links: Links{Connections: 7}}, Proxy{Node: "c", Links: Links{Connections: 1}}, Proxy{Node: "d"}, Proxy{Node: "e"})
	probed := map[string]bool{}
	for range 5 {
		limits, more := r.limits(), uint32(0)
		for _, p := range r.nodes {
			if limit, granted := limits[p.Node]; granted {
				more += limit - p.Connections
				probed[p.Node] = true
			}
		}
		if more != 3 {
			t.Errorf("limits %v admit %d more connections, want 3", limits, more)
		}
		r.applied()
		r.engine.Report(keyDB, []breaker.Reported{{Outcome: breaker.Failure, At: r.now, Probe: true}}, r.now)
		r.deliver(0)
		r.limits()
		r.applied()
		r.pass(30 * time.Second)
	}
	if len(probed) != 5 {
		t.Errorf("only %v ever had a permit, want all 5 proxies", probed)
	}
}

// TestActiveProxiesGetThePermits shows also that a single proxy gets all of them.
func TestActiveProxiesGetThePermits(t *testing.T) {
	r := halfOpen(t, 3, Proxy{Node: "a"}, Proxy{Node: "b", Links: Links{Connections: 2}}, Proxy{Node: "c"}, Proxy{Node: "d"})
	r.nodes[1].Called, r.nodes[3].Called = r.now.Add(-time.Second), r.now.Add(-activeFor-1)
	r.wantLimits("one proxy is active", map[string]uint32{"b": 5})

	r = halfOpen(t, 3, Proxy{Node: "a", Links: Links{Connections: 2}})
	r.wantLimits("there is only one proxy", map[string]uint32{"a": 5})
	r.nodes[0].Connections = 4
	r.wantLimits("the proxy has used two permits", map[string]uint32{"a": 5})
	r.nodes[0].Connections = 1
	r.wantLimits("an old connection has ended", map[string]uint32{"a": 4})
}

// TestPermitMoves from a proxy that does not use it to a proxy that refuses connections, once the first one has certainly
// lost it.
func TestPermitMoves(t *testing.T) {
	r := halfOpen(t, 1, Proxy{Node: "a", Links: Links{Called: 1}}, Proxy{Node: "b"})
	r.nodes[0].Called = r.now
	r.wantLimits("granted to the active proxy", map[string]uint32{"a": 1})
	r.applied()
	r.nodes[1].Refused = r.now.Add(10)
	r.nodes[1].Called = r.nodes[1].Refused
	r.pass(minPatience - 1)
	r.wantLimits("the proxy may still use it", map[string]uint32{"a": 1})
	r.pass(1)
	r.wantLimits("the permit is taken away", map[string]uint32{})
	r.pass(10 * time.Second)
	r.nodes[1].Refused = r.now
	r.wantLimits("the proxy does not apply the new limit yet", map[string]uint32{})
	r.applied()
	r.wantLimits("the proxy applies the limit, but may have admitted a connection before", map[string]uint32{})
	r.pass(reportDelay)
	r.nodes[0].Connecting = 1
	r.wantLimits("the proxy reports a connection that is being made", map[string]uint32{})
	r.nodes[0].Connecting, r.nodes[0].Connections = 0, 1
	r.pass(time.Second)
	r.wantLimits("the connection is established", map[string]uint32{})
	r.nodes[0].Connections = 0
	r.wantLimits("the connection has ended", map[string]uint32{"b": 1})
}

// TestPermitOfAProxyThatLeft stays with that proxy while its gates are in force.
func TestPermitOfAProxyThatLeft(t *testing.T) {
	r := halfOpen(t, 1, Proxy{Node: "a"}, Proxy{Node: "b"})
	r.nodes[0].Called = r.now
	r.wantLimits("granted to the active proxy", map[string]uint32{"a": 1})
	r.applied()
	r.nodes[0].Left = true
	r.pass(10 * time.Second)
	r.nodes[1].Refused = r.now
	r.wantLimits("the proxy has left", map[string]uint32{"a": 1})
	r.nodes = r.nodes[1:]
	r.wantLimits("its gates are no longer in force", map[string]uint32{"b": 1})

	r = halfOpen(t, 1, Proxy{Node: "a", Left: true, Links: Links{Called: 1}}, Proxy{Node: "b"})
	r.nodes[0].Called = r.now
	r.wantLimits("a proxy that left before gets none", map[string]uint32{"b": 1})
}

// TestASlowProxyKeepsItsPermitsOverHalfOpen: until it applies the gates of open, it may use the permits of the half-open
// before. No other proxy gets them in the next one, even if it has left.
func TestASlowProxyKeepsItsPermitsOverHalfOpen(t *testing.T) {
	for _, left := range []bool{false, true} {
		r := halfOpen(t, 2, Proxy{Node: "a"}, Proxy{Node: "b"})
		r.nodes[0].Called = r.now
		r.wantLimits("granted to the active proxy", map[string]uint32{"a": 2})
		r.applied()
		r.engine.Report(keyDB, []breaker.Reported{{Outcome: breaker.Failure, At: r.now, Probe: true}}, r.now)
		r.deliver(0)
		r.wantLimits("open again", map[string]uint32{})
		r.nodes[0].Left = left
		r.pass(30 * time.Second)
		r.nodes[1].Called = r.now
		r.wantLimits("half-open again", map[string]uint32{})
	}
}

// TestSlowCallersKeepTheirPermit for twice the pause between their calls.
func TestSlowCallersKeepTheirPermit(t *testing.T) {
	r := halfOpen(t, 1, Proxy{Node: "a", Links: Links{Pause: 4 * time.Second}}, Proxy{Node: "b"})
	r.nodes[0].Called = r.now
	r.wantLimits("granted to the active proxy", map[string]uint32{"a": 1})
	r.applied()
	r.nodes[1].Refused = r.now.Add(1)
	r.pass(8*time.Second - 1)
	r.wantLimits("the proxy may still call", map[string]uint32{"a": 1})
	r.pass(1)
	r.wantLimits("the proxy has not called", map[string]uint32{})
}

// TestHiddenConnections shows that a proxy that refuses connections although it has an unused permit has connections that
// it never reported. Its limit grows by them.
func TestHiddenConnections(t *testing.T) {
	r := halfOpen(t, 2, Proxy{Node: "a"})
	r.wantLimits("no connection is known", map[string]uint32{"a": 2})
	r.applied()
	for found := uint32(2); found <= 6; found += 2 {
		r.pass(2 * time.Second)
		r.nodes[0].Refused, r.nodes[0].Called = r.now, r.now
		r.pass(reportDelay)
		r.wantLimits(fmt.Sprintf("at least %d hidden connections", found), map[string]uint32{"a": found + 2})
		r.applied()
	}
	r.pass(time.Second)
	r.nodes[0].Admitted, r.nodes[0].Connections = r.now, 1
	r.nodes[0].Refused = r.now.Add(1)
	r.pass(reportDelay + 1)
	r.wantLimits("a permit is in use", map[string]uint32{"a": 8})
}

// TestHiddenConnectionsInABusyProxy are found however often the proxy refuses connections.
func TestHiddenConnectionsInABusyProxy(t *testing.T) {
	r := halfOpen(t, 2, Proxy{Node: "a"})
	for range 100 {
		r.pass(100 * time.Millisecond)
		r.nodes[0].Refused, r.nodes[0].Called = r.now, r.now
		r.applied()
	}
	if got := r.limits()["a"]; got < 8 {
		t.Errorf("after 10 s with a refusal each 100 ms the limit is %d, want at least 8", got)
	}
}

// TestHiddenConnectionsEndWithTheirProxy shows that a restarted proxy has none of the connections from before, even if it
// applies gates again before permits are allocated.
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
	r.wantLimits("five hidden connections", map[string]uint32{"a": 6})
	r.nodes[0].Began = r.now
	r.applied()
	r.pass(time.Second)
	r.wantLimits("the proxy has restarted", map[string]uint32{"a": 1})
}

// TestBarredProxiesGetNoPermit shows also that they lose the permit that they have.
func TestBarredProxiesGetNoPermit(t *testing.T) {
	r := halfOpen(t, 1, Proxy{Node: "a", Barred: true}, Proxy{Node: "b"})
	r.nodes[0].Called = r.now
	r.wantLimits("a is barred", map[string]uint32{"b": 1})
	r.applied()
	r.nodes[0].Barred, r.nodes[1].Barred = false, true
	r.wantLimits("b is barred", map[string]uint32{})
	r.applied()
	r.pass(reportDelay)
	r.nodes[0].Refused = r.now
	r.wantLimits("b has certainly lost its permit", map[string]uint32{"a": 1})
}

// TestOwnBreakerForConnections shows that a breaker of one proxy gives it all permits, in addition to its connections.
func TestOwnBreakerForConnections(t *testing.T) {
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
