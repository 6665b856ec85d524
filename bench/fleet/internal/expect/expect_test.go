package expect

import (
	"testing"

	"breakwater.dev/bench/fleet/internal/xdswire"
)

func isDone(c *Change) bool {
	select {
	case <-c.Done():
		return true
	default:
		return false
	}
}

func TestParts(t *testing.T) {
	here := Event{TypeURL: xdswire.VirtualHost, Name: []byte("egress/a"), Body: []byte("xyz")}
	gone := Event{TypeURL: xdswire.VirtualHost, Name: []byte("egress/a")}
	for name, tt := range map[string]struct {
		part       Part
		here, gone bool
	}{
		"has":                  {Has(xdswire.VirtualHost, "a", []byte("y")), true, false},
		"has any body":         {Has(xdswire.VirtualHost, "a", nil), true, false},
		"has any name":         {Has(xdswire.VirtualHost, "", []byte("y")), true, false},
		"has another name":     {Has(xdswire.VirtualHost, "b", nil), false, false},
		"has another type":     {Has(xdswire.Cluster, "a", nil), false, false},
		"has another mark":     {Has(xdswire.VirtualHost, "a", []byte("q")), false, false},
		"lacks":                {Lacks(xdswire.VirtualHost, "a", []byte("q")), true, false},
		"lacks a present mark": {Lacks(xdswire.VirtualHost, "a", []byte("y")), false, false},
		"gone":                 {Gone(xdswire.VirtualHost, "a"), false, true},
		"either":               {Either(Gone(xdswire.Cluster, "a"), Gone(xdswire.VirtualHost, "a")), false, true},
	} {
		if got := tt.part(here); got != tt.here {
			t.Errorf("%s: %t for a resource, want %t", name, got, tt.here)
		}
		if got := tt.part(gone); got != tt.gone {
			t.Errorf("%s: %t for a removal, want %t", name, got, tt.gone)
		}
	}
}

// TestAllParts: a change has arrived when each proxy that it concerns has each part, and each counts once.
func TestAllParts(t *testing.T) {
	c := &Change{
		Parts: []Part{Has(xdswire.Cluster, "a", nil)}, Keys: []string{"k", "l"},
		Wants: func(i int) (bool, []string) { return i < 2, []string{"k"} },
	}
	c.Begin(3)
	a := Event{TypeURL: xdswire.Cluster, Name: []byte("a"), Body: []byte{1}}
	has := func(keys ...string) func(string) bool {
		return func(key string) bool { return len(keys) > 0 && key == keys[0] }
	}
	for n, step := range []struct {
		do        func()
		remaining int
	}{
		{func() { c.Happened(0, a) }, 2},
		{func() { c.Happened(0, a) }, 2},
		{func() { c.Holds(0, has("l")) }, 2},
		{func() { c.Holds(0, has("k")) }, 1},
		{func() { c.Holds(0, has("k")) }, 1},
		{func() { c.Happened(2, a) }, 1},
		{func() { c.Holds(1, has("k")) }, 1},
		{func() { c.Happened(1, a) }, 0},
	} {
		if step.do(); c.Remaining() != step.remaining || isDone(c) != (step.remaining == 0) {
			t.Fatalf("step %d: %d proxies remain, done: %t, want %d", n, c.Remaining(), isDone(c), step.remaining)
		}
	}
	if c.Last().IsZero() {
		t.Error("there is no time at which the last proxy had the change")
	}
	again := c.Again()
	if again.Begin(1); again.Remaining() != 1 || isDone(again) {
		t.Error("the same change for other proxies has arrived at once")
	}
}

func TestWhole(t *testing.T) {
	c := &Change{Whole: func(i int) int { return 10 + i }}
	c.Begin(2)
	if n, needed := c.NeedsWhole(1); n != 11 || !needed {
		t.Errorf("proxy 1 needs %d upstreams: %t, want 11", n, needed)
	}
	c.IsWhole(1)
	if _, needed := c.NeedsWhole(1); needed || c.Remaining() != 1 {
		t.Error("proxy 1 still needs upstreams")
	}
	none := &Change{}
	if none.Begin(0); !isDone(none) {
		t.Error("a change for no proxies has not arrived")
	}
	if _, needed := (&Change{progress: none.progress}).NeedsWhole(0); needed {
		t.Error("a change without upstreams needs some")
	}
}
