package app

import (
	"slices"
	"testing"

	"breakwater.dev/breaker"
	"breakwater.dev/xds"
)

// TestObeying: what a proxy obeys, since when, and for how long when it has left.
func TestObeying(t *testing.T) {
	first, err := xds.NewGates(nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := xds.NewGates(nil)
	if err != nil {
		t.Fatal(err)
	}
	o := obeying{nodes: map[string]obeyed{}}
	want := func(when string, gates *xds.Gates, since breaker.Instant) {
		t.Helper()
		if is := o.read("one"); is.gates != gates || is.since != since {
			t.Errorf("%s: it obeys %p since %d, want %p since %d", when, is.gates, is.since, gates, since)
		}
	}
	left := func(now breaker.Instant, want ...string) {
		t.Helper()
		if got := o.left(map[string]bool{"two": true}, now); !slices.Equal(got, want) {
			t.Errorf("at %d %v have left, want %v", now, got, want)
		}
	}
	want("nothing is known", nil, 0)
	o.note("two", first, 5, 5)
	o.note("one", first, 10, 10)
	o.note("one", nil, 25, 10)
	want("gates with a time to live", first, 10)
	o.note("one", first, 15, 15)
	o.note("one", nil, 30, 15)
	want("the same again", first, 10)
	o.note("one", second, 20, 20)
	o.note("one", nil, 35, 20)
	want("others", second, 20)
	left(34, "one")
	left(35)
	want("their time is over", nil, 0)
	o.note("one", second, 40, 40)
	o.note("one", nil, 39, 40)
	want("it begins anew", nil, 0)
	left(41)
	if is := o.read("two"); is.gates != first {
		t.Error("one that is here is forgotten")
	}
}
