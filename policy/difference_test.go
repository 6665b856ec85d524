package policy_test

import (
	"maps"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"breakwater.dev/policy"
)

// TestSince checks the difference of random sets against two plain loops.
func TestSince(t *testing.T) {
	draw := func(t *rapid.T, known map[string][]*policy.Upstream) *policy.Set {
		set := &policy.Set{}
		for _, name := range slices.Sorted(maps.Keys(known)) {
			if i := rapid.IntRange(-1, 1).Draw(t, name); i >= 0 {
				set.Upstreams = append(set.Upstreams, known[name][i])
			}
		}
		return set
	}
	without := func(some, others []*policy.Upstream) (rest []*policy.Upstream) {
		for _, u := range some {
			if !slices.Contains(others, u) {
				rest = append(rest, u)
			}
		}
		return rest
	}
	rapid.Check(t, func(t *rapid.T) {
		known := map[string][]*policy.Upstream{}
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			known[name] = []*policy.Upstream{{Name: name}, {Name: name}}
		}
		before, set := draw(t, known), draw(t, known)
		want := policy.Difference{Gone: without(before.Upstreams, set.Upstreams), New: without(set.Upstreams, before.Upstreams)}
		if got := set.Since(before); !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if got := set.Since(nil); len(got.Gone) > 0 || !slices.Equal(got.New, set.Upstreams) {
			t.Errorf("since nothing: got %v, want %v", got, set.Upstreams)
		}
	})
}
