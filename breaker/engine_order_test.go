package breaker

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestApplyInAnyOrder applies specs in changing orders, with gaps of any size: breakers that stay are the same ones, whatever
// comes and goes beside them, and Changes has the others.
func TestApplyInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := NewEngine(Options{})
		known := map[Key]*Breaker{}
		var before []Key
		for range rapid.IntRange(1, 5).Draw(t, "loads") {
			var next []Key
			for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, 29), 0, 30, rapid.ID).Draw(t, "breakers") {
				next = append(next, Key{Upstream: fmt.Sprintf("u%02d", i/2), Route: []string{"", "r"}[i%2]})
			}
			if rapid.Bool().Draw(t, "sorted") {
				slices.SortFunc(next, func(a, b Key) int {
					return slices.Compare([]string{a.Upstream, a.Route}, []string{b.Upstream, b.Route})
				})
			}
			var specs []Spec
			for _, key := range next {
				specs = append(specs, Spec{Key: key, Config: DefaultConfig(), Lease: time.Minute})
			}
			changes := e.Apply(specs, 1)
			isNew := func(key Key) bool { return !slices.Contains(before, key) }
			isGone := func(key Key) bool { return !slices.Contains(next, key) }
			if want := only(next, isNew); !slices.Equal(changes.Added, want) {
				t.Fatalf("added %v, want %v", changes.Added, want)
			}
			if want := only(before, isGone); !slices.Equal(changes.Removed, want) {
				t.Fatalf("removed %v, want %v", changes.Removed, want)
			}
			for _, key := range next {
				b := e.Breaker(key)
				if b == nil || !isNew(key) && b != known[key] {
					t.Fatalf("breaker %s is %p, want %p", key, b, known[key])
				}
				known[key] = b
			}
			for _, key := range before {
				if isGone(key) && e.Breaker(key) != nil {
					t.Fatalf("breaker %s is still there", key)
				}
			}
			var list []Key
			for _, s := range e.Snapshot(1) {
				list = append(list, s.Key)
			}
			if !slices.Equal(list, next) {
				t.Fatalf("the snapshot has %v, want the order %v", list, next)
			}
			before = next
		}
	})
}

// only returns the keys for which is is true.
func only(keys []Key, is func(Key) bool) (some []Key) {
	for _, key := range keys {
		if is(key) {
			some = append(some, key)
		}
	}
	return some
}
