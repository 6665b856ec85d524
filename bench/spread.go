package main

import (
	"math"
	"math/bits"
	"slices"
	"time"
)

// spread is the quartiles of what rounds measured: half of them are between low and high.
type spread struct{ low, mid, high float64 }

func spreadOf(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	return spread{quantile(sorted, 0.25), quantile(sorted, 0.5), quantile(sorted, 0.75)}
}

// quantile interpolates between the values, which are sorted; NaN of none.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	place := q * float64(len(sorted)-1)
	below := int(place)
	if below == len(sorted)-1 {
		return sorted[below]
	}
	return sorted[below] + (place-float64(below))*(sorted[below+1]-sorted[below])
}

// histogram counts durations exactly up to 32 ns, and above to within a
// sixteenth. It has a fixed size, so that millions of calls do not disturb what
// they measure.
type histogram struct {
	counts [64 * 16]uint64
	total  uint64
	max    time.Duration
}

func (h *histogram) add(d time.Duration) {
	h.counts[slot(d)]++
	h.total++
	h.max = max(h.max, d)
}

// slot is 16 for each power of two: the four bits after the leading one.
func slot(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < 32 {
		return int(v)
	}
	shift := bits.Len64(v) - 5
	return shift*16 + int(v>>shift)
}

// quantile returns the least duration of the slot that the quantile is in; 0 of none.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(h.total)))
	var seen uint64
	for i, n := range h.counts {
		if seen += n; n > 0 && seen >= rank {
			return least(i)
		}
	}
	return 0
}

// least is the shortest duration of a slot.
func least(slot int) time.Duration {
	if slot < 32 {
		return time.Duration(slot)
	}
	shift := slot/16 - 1
	return time.Duration(uint64(slot-shift*16) << shift)
}
