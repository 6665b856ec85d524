package breaker

import (
	"math"
	"reflect"
	"testing"
)

// fiveCalls returns a count-based window of five calls.
func fiveCalls() *window { return &window{ring: newRing(5)} }

// timed returns a window of ten parts of 100 at an instant.
func timed(now Instant) *window {
	w := &window{times: buckets{width: 100}}
	w.times.newest = int64(now / 100)
	return w
}

// TestTallies: a window and one that got its tallies count the same, now and when more calls come.
func TestTallies(t *testing.T) {
	fast, slow, failed := call{}, call{slow: true}, call{failed: true, slow: true}
	for name, tt := range map[string]struct {
		make func() *window
		fill func(*window)
		want []Tally
	}{
		"nothing in a ring":        {fiveCalls, func(*window) {}, nil},
		"nothing in parts of time": {func() *window { return timed(1000) }, func(*window) {}, nil},
		"some in a ring":           {fiveCalls, func(w *window) { w.add(failed, 1); w.add(fast, 2) }, []Tally{{Calls: 1, Failures: 1, Slow: 1}, {Calls: 2}}},
		"more than a ring has":     {fiveCalls, func(w *window) { w.add(fast, 4); w.add(slow, 2); w.add(fast, 1) }, []Tally{{Calls: 2}, {Calls: 2, Slow: 2}, {Calls: 1}}},
		"early calls in a ring":    {fiveCalls, func(w *window) { w.add(slow, 1); w.early(2, 0) }, []Tally{{Calls: 1, Slow: 1}, {Calls: 2, Slow: 2, Early: 2}}},
		"a place without a call": {fiveCalls, func(w *window) {
			w.early(1, 0)
			w.add(fast, 2)
			w.early(1, 0)
			w.add(failed, 1)
			w.settle(nil, 0)
			w.settle(nil, 0)
		}, []Tally{{Calls: 2}, {Void: 1}, {Calls: 1, Failures: 1, Slow: 1}}},
		"some in parts of time": {func() *window { return timed(1000) }, func(w *window) { w.addAt(failed, 1, 150); w.addAt(fast, 2, 199); w.addAt(slow, 3, 1000) }, []Tally{{At: 150, Calls: 3, Failures: 1, Slow: 1}, {At: 1050, Calls: 3, Slow: 3}}},
		"early calls":           {func() *window { return timed(1000) }, func(w *window) { w.early(2, 450); w.addAt(slow, 1, 450) }, []Tally{{At: 450, Calls: 3, Slow: 3, Early: 2}}},
		"from before the clock began": {func() *window { return timed(300) }, func(w *window) {
			w.addAt(failed, 1, -1)
			w.addAt(fast, 1, -600)
			w.addAt(fast, 1, -601)
			w.addAt(fast, 1, 0)
		}, []Tally{{At: -550, Calls: 1}, {At: -50, Calls: 1, Failures: 1, Slow: 1}, {At: 50, Calls: 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			w, next := tt.make(), tt.make()
			tt.fill(w)
			if got := w.tallies(); !reflect.DeepEqual(got, tt.want) {
				t.Fatalf("tallies %+v, want %+v", got, tt.want)
			}
			next.prepend(w.tallies())
			for i := range 8 {
				if next.sum != w.sum || next.earlys != w.earlys || !reflect.DeepEqual(next.tallies(), w.tallies()) {
					t.Fatalf("after %d more it counts %+v in %+v, want %+v in %+v", i, next.sum, next.tallies(), w.sum, w.tallies())
				}
				for _, x := range []*window{w, next} {
					x.settle(&fast, justNow)
					x.add(fast, 1)
					x.advance(Instant(1000 + 200*i))
				}
			}
		})
	}
}

// TestForgedTallies: figures that cannot be true do no harm, however many there are.
func TestForgedTallies(t *testing.T) {
	most := uint32(math.MaxUint32)
	for _, w := range []*window{fiveCalls(), timed(1000)} {
		w.prepend([]Tally{{At: 950, Calls: 1, Failures: 9, Slow: 9, Early: 9}, {At: 950, Calls: 2, Slow: 1, Early: 2}, {At: 950, Calls: 1, Failures: 1, Slow: 1, Early: 1}, {At: 950, Failures: 5}, {At: math.MinInt64, Calls: 3}, {At: 1e9, Void: most}})
		if s := w.sum; s.failures > s.calls || s.slow > s.calls || w.earlys > s.slow {
			t.Errorf("sums %+v with %d early, want no part above the whole", s, w.earlys)
		}
		before := w.sum
		w.prepend([]Tally{{At: 950, Calls: most}, {At: 950, Calls: most}})
		if w.ring == nil && w.sum != before {
			t.Errorf("sums %+v, want %+v without the calls that do not fit", w.sum, before)
		}
		for range 5 {
			w.settle(nil, justNow)
		}
		if s := w.sum; s.failures > s.calls || s.slow > s.calls {
			t.Errorf("sums %+v after early calls have ended, want no part above the whole", s)
		}
		w.add(call{}, 5)
		w.advance(1e6)
		if want := (sums{}); w.ring == nil && w.sum != want {
			t.Errorf("sums %+v when all is too old, want none", w.sum)
		} else if want.calls = 5; w.ring != nil && w.sum != want {
			t.Errorf("sums %+v after five more, want %+v", w.sum, want)
		}
	}
}
