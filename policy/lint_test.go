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
			if want := tryAll(run, least); most != want || !bounded {
				t.Errorf("runs below %d in %d calls or more: %s (bounded %v), want %s", run, least, most, bounded, want)
			}
		}
	}
	if _, bounded := highestRate(breaker.Config{MinimumNumberOfCalls: 10}); bounded {
		t.Error("without the rule for runs, there is a highest rate")
	}
}

// tryAll goes through all sequences of up to 12 calls, a failure being a 1 bit.
func tryAll(run, least uint32) breaker.Ratio {
	var best breaker.Ratio
	for calls := least; calls <= 12; calls++ {
		for sequence := range uint32(1) << calls {
			var failures, streak, longest uint32
			for i := range calls {
				if sequence>>i&1 == 0 {
					streak = 0
					continue
				}
				failures, streak = failures+1, streak+1
				longest = max(longest, streak)
			}
			if longest < run {
				best = max(best, breaker.Ratio(failures*uint32(breaker.Whole)/calls))
			}
		}
	}
	return best
}
