package measure

import (
	"math"
	"math/bits"
	"time"
)

// Histogram counts durations, exactly up to 32 ns and to within a
// sixteenth above. It has a fixed size, so that millions of durations do not disturb the
// measurement. It is not safe for concurrent use.
type Histogram struct {
	counts [64 * 16]uint64
	total  uint64
	max    time.Duration
}

// Add counts one duration.
func (h *Histogram) Add(d time.Duration) {
	h.counts[slot(d)]++
	h.total++
	h.max = max(h.max, d)
}

// Total returns how many durations were added.
func (h *Histogram) Total() uint64 { return h.total }

// Max returns the longest duration that was added.
func (h *Histogram) Max() time.Duration { return h.max }

// slot returns the index of a duration's count. Each power of two has 16 slots, by the four bits after the leading one.
func slot(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < 32 {
		return int(v)
	}
	shift := bits.Len64(v) - 5
	return shift*16 + int(v>>shift)
}

// Quantile returns the shortest duration in the slot of the quantile q, and 0 for an empty histogram.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(h.total)))
	var seen uint64
	for i, n := range h.counts {
		if seen += n; n > 0 && seen >= rank {
			return lowerBound(i)
		}
	}
	return 0
}

// lowerBound returns the shortest duration of a slot.
func lowerBound(slot int) time.Duration {
	if slot < 32 {
		return time.Duration(slot)
	}
	shift := slot/16 - 1
	return time.Duration(uint64(slot-shift*16) << shift)
}
