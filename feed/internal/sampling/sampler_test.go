package sampling

import (
	"testing"

	"pgregory.net/rapid"
)

// TestSamplingIsSteady: at any steady rate the sampling is found at once, and kept. At most 100 entries per second are
// logged, or the sampling is the sparsest.
func TestSamplingIsSteady(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		calls := rapid.Float64Range(0, 1e6).Draw(t, "rate")
		var x density
		x.decide(calls)
		first := x.oneIn
		for range 100 {
			x.decide(calls * (1 + rapid.Float64Range(-0.3, 0.3).Draw(t, "noise")))
			if x.oneIn != first && first < maxOneIn && calls/float64(first) < 75 {
				t.Fatalf("at %v/s one in %d, then one in %d", calls, first, x.oneIn)
			}
		}
		if logged := calls / float64(x.oneIn); logged > 2*targetRate && x.oneIn < maxOneIn || logged < targetRate/4. && x.oneIn > 1 {
			t.Errorf("at %v/s one in %d is logged: %v/s", calls, x.oneIn, logged)
		}
	})
}

// TestSamplingRecovers: when the rate is low again, all calls are logged again, in steps.
func TestSamplingRecovers(t *testing.T) {
	var x density
	x.decide(20_000)
	if x.oneIn != 512 {
		t.Fatalf("one in %d, want 512", x.oneIn)
	}
	for n := range 9 * patience {
		x.decide(1)
		if want := uint32(512 >> ((n + 1) / patience)); x.oneIn != want {
			t.Fatalf("second %d: one in %d, want %d", n, x.oneIn, want)
		}
	}
}
