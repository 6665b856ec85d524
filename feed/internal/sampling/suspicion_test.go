package sampling

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater.dev/breaker"
)

// TestSuspicious: a few failures in a row are suspicious where there are hardly any else, and the more of them it takes the more
// failures there are, and the sparser the successes are logged.
func TestSuspicious(t *testing.T) {
	for _, tt := range []struct {
		what            string
		calls, failures uint64 // in the window before the run
		oneIn           uint32
		want            uint32 // the shortest run that is suspicious
	}{
		{"no failures, a dense sample", 10_000, 0, 4, 2},
		{"no failures", 10_000, 0, 16, 3},
		{"no failures, a sparse sample", 10_000, 0, 1024, 6},
		{"one failure in a hundred", 10_000, 100, 16, 8},
		{"one failure in a hundred, a sparse sample", 100_000, 1_000, 512, 79},
		{"three failures in ten", 10_000, 3_000, 16, 102},
		{"an empty window", 0, 0, 16, 228},
	} {
		run := uint32(1)
		for ; run < 10_000; run++ {
			w := breaker.WindowCounts{Calls: tt.calls + uint64(run), Failures: tt.failures + uint64(run), Run: run}
			if Suspicious(&w, tt.oneIn) {
				break
			}
		}
		if run != tt.want {
			t.Errorf("%s: a run of %d is suspicious, want %d", tt.what, run, tt.want)
		}
	}
	if w := (breaker.WindowCounts{Calls: 1_000, Failures: 900, Run: 0}); Suspicious(&w, 2) {
		t.Error("failures are suspicious without a run")
	}
}

// TestToleratedFailuresAreNotSuspicious: an hour of a steady rate of failures at 2,000 calls a second raises a few alarms at most,
// whatever the rate is.
func TestToleratedFailuresAreNotSuspicious(t *testing.T) {
	const oneIn, seconds, calls, window = 32, 3_600, 2_000, 20_000
	for _, rate := range []float64{0.001, 0.01, 0.1, 0.4} {
		random := rand.New(rand.NewPCG(5, 6))
		alarms, run := 0, uint32(0)
		for range seconds * calls {
			switch {
			case random.Float64() < rate:
				run++
				if w := (breaker.WindowCounts{Calls: window, Failures: uint64(rate * window), Run: run}); Suspicious(&w, oneIn) {
					alarms, run = alarms+1, 0
				}
			case random.IntN(oneIn) == 0:
				run = 0
			}
		}
		if alarms > 3 {
			t.Errorf("with %v of failures: %d alarms in an hour, want next to none", rate, alarms)
		}
	}
}

// TestAffordable: all proxies together log a bounded number of calls, and only where a sample would take longer to convince.
func TestAffordable(t *testing.T) {
	for _, tt := range []struct {
		what       string
		rate, load float64
		oneIn      uint32
		want       bool
	}{
		{"a busy service", 1_000, 0, 16, true},
		{"the busiest", maxExactRate, 0, 1024, true},
		{"too busy", maxExactRate + 1, 0, 1024, false},
		{"beside others", 1_000, maxExactRate - 1_000, 16, true},
		{"beside too many others", 1_000, maxExactRate - 999, 16, false},
		{"many proxies, of which each is hardly busy", 50_000, 0, 8, false},
	} {
		if got := Affordable(tt.rate, tt.load, tt.oneIn); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.what, got, tt.want)
		}
	}
	if Overloaded(2*maxExactRate) || !Overloaded(2*maxExactRate+1) {
		t.Error("the load may be twice as much as when the last breaker was added, and no more")
	}
}

// TestAlertsDoNotFlap: whenever suspicions come, an alert lasts from the first of them until there has been none for 10 s. So it
// changes twice in 10 s at most.
func TestAlertsDoNotFlap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a Alert
		now, last, began := breaker.Instant(time.Hour), breaker.Instant(0), breaker.Instant(0)
		on := false
		for range 100 {
			now = now.Add(time.Duration(rapid.IntRange(1, 4_000).Draw(t, "pause")) * time.Millisecond)
			over := a.Over(now)
			if want := last == 0 || now.Sub(last) >= calm; over != want {
				t.Fatalf("over is %t %s after the last suspicion, want %t", over, now.Sub(last), want)
			}
			if on && over && now.Sub(began) < calm {
				t.Fatalf("an alert ended after %s", now.Sub(began))
			}
			on = !over
			if rapid.Bool().Draw(t, "suspicious") {
				if !on {
					on, began = true, now
				}
				a.Raise(now)
				last = now
			}
		}
		a.End()
		if !a.Over(now) {
			t.Error("an alert that was ended is not over")
		}
	})
}
