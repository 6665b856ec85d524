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
	first, second := gate.NewSet(nil, gate.LogFilter{}), gate.NewSet(nil, gate.LogFilter{})
	a := applied{nodes: map[string]inForce{}}
	want := func(when string, gates *gate.Set, acknowledged, began breaker.Instant) {
		t.Helper()
		if state := a.get("one"); state.Gates != gates || state.Acknowledged != acknowledged || state.Began != began {
			t.Errorf("%s: gates %p, acknowledged at %d, began at %d; want %p, %d and %d", when, state.Gates, state.Acknowledged, state.Began, gates, acknowledged, began)
		}
	}
	connected := map[string]bool{"two": true}
	left := func(now breaker.Instant, want ...string) {
		t.Helper()
		a.forget(connected, now)
		if got := a.disconnected(connected, now); !slices.Equal(got, want) {
			t.Errorf("at %d the gates of %v are in force without a connection, want %v", now, got, want)
		}
	}
	want("nothing is known", nil, 0, 0)
	a.set("two", first, 5, 5)
	a.set("one", first, 10, 10)
	a.set("one", nil, 25, 10)
	want("gates with a time to live", first, 10, 0)
	a.set("one", first, 15, 15)
	a.set("one", nil, 30, 15)
	want("the same gates again", first, 15, 0)
	a.set("one", second, 20, 20)
	a.set("one", nil, 35, 20)
	want("other gates", second, 20, 0)
	left(34, "one")
	left(35)
	want("the gates have expired", nil, 0, 0)
	a.set("one", second, 40, 40)
	a.set("one", nil, 39, 41)
	want("the proxy has restarted", nil, 0, 41)
	a.set("one", second, 42, 42)
	want("the restarted proxy applies gates", second, 42, 41)
	left(43)
	if state := a.get("two"); state.Gates != first {
		t.Error("a connected proxy is forgotten")
	}
}
