package publisher

import (
	"slices"
	"testing"

	"breakwater.dev/breaker"
	"breakwater.dev/gate"
)

// TestApplied shows which gates are in force in a proxy, when it acknowledged them, and how long they stay in force after
// it has left.
func TestApplied(t *testing.T) {
	first, second := gate.Uniform(gate.NewSet(nil, gate.LogFilter{})), gate.Uniform(gate.NewSet(nil, gate.LogFilter{}))
	a := applied{nodes: map[string]inForce{}}
	now := breaker.Instant(0)
	set := func(node string, gates *gate.Mix, from, at breaker.Instant) {
		now = at
		a.set(node, gates, from, now)
	}
	want := func(when string, gates *gate.Mix, acknowledged, began breaker.Instant) {
		t.Helper()
		if state := a.get("one", now); state.Gates != gates || state.Acknowledged != acknowledged || state.Began != began {
			t.Errorf("%s: gates %p, acknowledged at %d, began at %d; want %p, %d and %d", when, state.Gates, state.Acknowledged, state.Began, gates, acknowledged, began)
		}
	}
	connected := map[string]bool{"two": true}
	left := func(at breaker.Instant, want ...string) {
		t.Helper()
		now = at
		a.forget(connected, now)
		if got := a.disconnected(connected, now); !slices.Equal(got, want) {
			t.Errorf("at %d the gates of %v are in force without a connection, want %v", now, got, want)
		}
	}
	want("nothing is known", nil, 0, 0)
	set("two", first, 5, 5)
	set("one", first, 10, 10)
	set("one", nil, 25, 10)
	want("gates with a time to live", first, 10, 0)
	set("one", first, 15, 15)
	set("one", nil, 30, 15)
	want("the same gates again", first, 15, 0)
	set("one", second, 20, 20)
	set("one", nil, 35, 20)
	want("other gates", second, 20, 0)
	left(34, "one")
	set("one", first, 33, 34) // it drops a part of them earlier
	set("one", second, 40, 34)
	set("one", nil, 50, 34)
	set("one", second, 38, 34) // in place of all later ones
	set("one", nil, 48, 34)
	want("before it drops a part", first, 33, 0)
	left(38, "one")
	want("when it has dropped a part", second, 33, 0)
	left(48)
	want("the gates have expired", nil, 0, 0)
	set("one", second, 50, 50)
	set("one", nil, 49, 51)
	want("the proxy has restarted", nil, 0, 51)
	set("one", second, 52, 52)
	want("the restarted proxy applies gates", second, 52, 51)
	left(53)
	if state := a.get("two", now); state.Gates != first {
		t.Error("a connected proxy is forgotten")
	}
}
