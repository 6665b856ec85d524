package series

import (
	"strconv"
	"sync/atomic"
	"time"
)

// maxBuckets is how many buckets a histogram has at most, the one without bound among them.
const maxBuckets = 9

// scale is the upper bounds of a histogram's buckets; fewer than [maxBuckets].
type scale struct {
	bounds []time.Duration
	ends   []string // how the line of each bucket goes on after its other labels
}

var (
	callScale = newScale(5*time.Millisecond, 25*time.Millisecond, 100*time.Millisecond, 250*time.Millisecond, 500*time.Millisecond,
		time.Second, 2500*time.Millisecond, 10*time.Second)
	openScale = newScale(time.Second, 5*time.Second, 15*time.Second, 30*time.Second, time.Minute, 5*time.Minute, 10*time.Minute)
)

func newScale(bounds ...time.Duration) *scale {
	s := &scale{bounds: bounds}
	for _, b := range bounds {
		s.ends = append(s.ends, `,le="`+strconv.FormatFloat(b.Seconds(), 'g', -1, 64)+`"} `)
	}
	s.ends = append(s.ends, `,le="+Inf"} `)
	return s
}

// histogram counts durations. It is much smaller than the library's, which a
// policy with 100,000 breakers needs. In return a sum may be ahead of its count
// by the calls that are being counted just then.
type histogram struct {
	micros atomic.Uint64 // the sum; nanoseconds could overflow within months
	counts [maxBuckets]atomic.Uint64
}

// observe counts d, below 0 as 0, n times.
func (h *histogram) observe(s *scale, d time.Duration, n uint64) {
	d = max(d, 0)
	i := 0
	for i < len(s.bounds) && d > s.bounds[i] {
		i++
	}
	h.counts[i].Add(n)
	h.micros.Add(uint64(d/time.Microsecond) * n)
}
