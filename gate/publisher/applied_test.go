package publisher

import (
	"slices"
	"testing"

	"breakwater.dev/breaker"
	"breakwater.dev/gate"
)

// TestApplied: which gates a proxy applies, when it said so, and for how long once it has left.
func TestApplied(t *testing.T) {
	first, second := gate.NewSet(nil, gate.LogFilter{}), gate.NewSet(nil, gate.LogFilter{})
	a := applied{nodes: map[string]inForce{}}
	want := func(when string, gates *gate.Set, told, began breaker.Instant) {
		t.Helper()
		if is := a.of("one"); is.Gates != gates || is.Told != told || is.Began != began {
			t.Errorf("%s: it applies %p as it said at %d, and began at %d; want %p, %d and %d", when, is.Gates, is.Told, is.Began, gates, told, began)
		}
	}
	connected := map[string]bool{"two": true}
	left := func(now breaker.Instant, want ...string) {
		t.Helper()
		a.forget(connected, now)
		if got := a.left(connected, now); !slices.Equal(got, want) {
			t.Errorf("at %d %v have left, want %v", now, got, want)
		}
	}
	want("nothing is known", nil, 0, 0)
	a.set("two", first, 5, 5)
	a.set("one", first, 10, 10)
	a.set("one", nil, 25, 10)
	want("gates with a time to live", first, 10, 0)
	a.set("one", first, 15, 15)
	a.set("one", nil, 30, 15)
	want("the same again", first, 15, 0)
	a.set("one", second, 20, 20)
	a.set("one", nil, 35, 20)
	want("others", second, 20, 0)
	left(34, "one")
	left(35)
	want("their time is over", nil, 0, 0)
	a.set("one", second, 40, 40)
	a.set("one", nil, 39, 41)
	want("it begins anew", nil, 0, 41)
	a.set("one", second, 42, 42)
	want("and applies gates", second, 42, 41)
	left(43)
	if is := a.of("two"); is.Gates != first {
		t.Error("a connected proxy is forgotten")
	}
}
