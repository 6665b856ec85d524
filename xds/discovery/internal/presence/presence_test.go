package presence

import (
	"slices"
	"testing"
	"time"
)

// TestNothingIsKeptOfThoseThatLeft: when one of two proxies with an id has left, the id belongs to one proxy again.
func TestNothingIsKeptOfThoseThatLeft(t *testing.T) {
	began := time.Unix(0, 0)
	var r Registry
	first, second := &Proxy{ID: "a", Host: "x", Since: began}, &Proxy{ID: "a", Host: "y", Since: began.Add(time.Hour)}
	r.Enter(first)
	r.Enter(second)
	if found, again := r.Meet(second, second.Since); found != nil || again != Reconnecting {
		t.Errorf("at first found %v, to look again after %s; want none, and %s", found, again, Reconnecting)
	}
	for i, want := range []*Proxy{first, nil} { // it is found once
		if found, again := r.Meet(second, second.Since.Add(Reconnecting)); found != want || again != 0 {
			t.Errorf("look %d: found %v, to look again after %s; want %v and no need to", i, found, again, want)
		}
	}
	if ids := r.Duplicates(); !slices.Equal(ids, []string{"a"}) {
		t.Errorf("ids of two: %q, want a", ids)
	}
	r.Leave(first)
	if ids := r.Duplicates(); ids != nil {
		t.Errorf("ids of two: %q when one has left", ids)
	}
	r.Leave(second)
	if len(r.proxies) != 0 {
		t.Errorf("%d ids are kept of proxies that left", len(r.proxies))
	}
}
