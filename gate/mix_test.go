package gate

import (
	"testing"

	"breakwater.dev/breaker"
	"breakwater.dev/wire"
)

// TestMix shows that the set of a breaker's own part decides, and that a part without a set has no gates.
func TestMix(t *testing.T) {
	set := func(n uint32) *Set {
		return NewSet([]Gate{
			{Key: breaker.Key{Upstream: "a"}, Sampling: wire.Sampling{Passed: n}, Connections: &n},
			{Key: breaker.Key{Upstream: "b"}, Sampling: wire.Sampling{Passed: n}, Connections: &n},
		}, LogFilter{})
	}
	a, b := breaker.Key{Upstream: "a"}, breaker.Key{Upstream: "b"}
	if wire.RuntimePartOf(a) == wire.RuntimePartOf(b) {
		t.Fatal("both breakers are in one part")
	}
	mixed := Uniform(set(2))
	mixed[wire.RuntimePartOf(b)] = set(3)
	dropped := Uniform(set(2))
	dropped[wire.RuntimePartOf(b)] = nil
	for name, tt := range map[string]struct {
		mix  *Mix
		a, b uint32
	}{
		"one set": {Uniform(set(2)), 2, 2}, "two sets": {mixed, 2, 3}, "a part without gates": {dropped, 2, 0}, "no gates": {nil, 0, 0},
	} {
		for key, want := range map[breaker.Key]uint32{a: tt.a, b: tt.b} {
			limit, gated := tt.mix.Connections(key, "one")
			if got := tt.mix.Sampling(key).Passed; got != max(want, 1) || limit != want || gated != (want > 0) || tt.mix.Has(key) != (want > 0) {
				t.Errorf("%s, %s: one in %d, %d connections, gated %t, has it %t; want %d", name, key, got, limit, gated, tt.mix.Has(key), want)
			}
		}
	}
}
