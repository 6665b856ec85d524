package app

import (
	"slices"
	"testing"

	"breakwater.dev/breaker"
	"breakwater.dev/xds"
)

// TestObeying: what a proxy obeys, when it said so, and for how long when it has left.
func TestObeying(t *testing.T) {
	first, err := xds.NewGates(nil)
	must(t, err)
	second, err := xds.NewGates(nil)
	must(t, err)
	o := obeying{nodes: map[string]obeyed{}}
	want := func(when string, gates *xds.Gates, told, began breaker.Instant) {
		t.Helper()
		if is := o.read("one"); is.gates != gates || is.told != told || is.began != began {
			t.Errorf("%s: it obeys %p as it told at %d, and began at %d; want %p, %d and %d", when, is.gates, is.told, is.began, gates, told, began)
		}
	}
	here := map[string]bool{"two": true}
	left := func(now breaker.Instant, want ...string) {
		t.Helper()
		o.forget(here, now)
		if got := o.left(here, now); !slices.Equal(got, want) {
			t.Errorf("at %d %v have left, want %v", now, got, want)
		}
	}
	want("nothing is known", nil, 0, 0)
	o.note("two", first, 5, 5)
	o.note("one", first, 10, 10)
	o.note("one", nil, 25, 10)
	want("gates with a time to live", first, 10, 0)
	o.note("one", first, 15, 15)
	o.note("one", nil, 30, 15)
	want("the same again", first, 15, 0)
	o.note("one", second, 20, 20)
	o.note("one", nil, 35, 20)
	want("others", second, 20, 0)
	left(34, "one")
	left(35)
	want("their time is over", nil, 0, 0)
	o.note("one", second, 40, 40)
	o.note("one", nil, 39, 41)
	want("it begins anew", nil, 0, 41)
	o.note("one", second, 42, 42)
	want("and obeys", second, 42, 41)
	left(43)
	if is := o.read("two"); is.gates != first {
		t.Error("one that is here is forgotten")
	}
}
