package policy

import (
	"testing"

	"breakwater.dev/breaker"
)

// The highest rate without a run is that of trying every sequence of calls.
func TestHighestRate(t *testing.T) {
	for run := uint32(1); run <= 4; run++ {
		for least := uint32(1); least <= 7; least++ {
			most, bounded := highestRate(breaker.Config{ConsecutiveFailures: run, MinimumNumberOfCalls: least})
			if want := tryAll(run, least, longest); most != want || !bounded {
				t.Errorf("runs below %d in %d calls or more: %s (bounded %v), want %s", run, least, most, bounded, want)
			}
			for size := least; size <= longest; size++ {
				most, _ := highestRate(breaker.Config{ConsecutiveFailures: run, MinimumNumberOfCalls: least, WindowSize: size})
				if want := tryAll(run, least, size); most != want {
					t.Errorf("runs below %d in %d to %d calls: %s, want %s", run, least, size, most, want)
				}
			}
		}
	}
	if _, bounded := highestRate(breaker.Config{MinimumNumberOfCalls: 10}); bounded {
		t.Error("without the rule for runs, there is a highest rate")
	}
}

// longest is long enough for the fewest successes of every case.
const longest = 12

// tryAll goes through all sequences of least to most calls, a failure being a 1 bit.
func tryAll(run, least, most uint32) breaker.Ratio {
	var best breaker.Ratio
	for calls := least; calls <= most; calls++ {
		for sequence := range uint32(1) << calls {
			var failures, streak, worst uint32
			for i := range calls {
				if sequence>>i&1 == 0 {
					streak = 0
					continue
				}
				failures, streak = failures+1, streak+1
				worst = max(worst, streak)
			}
			if worst < run {
				best = max(best, breaker.Ratio(failures*uint32(breaker.Whole)/calls))
			}
		}
	}
	return best
}
