package telemetry

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Upper bounds of buckets, in seconds.
var (
	callBounds = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	openBounds = []float64{1, 5, 15, 30, 60, 300, 600}
)

// histogram counts durations. It is the library's without exemplars, native
// buckets and the second set of counters by which that keeps sum and count in
// step: a policy can have 100,000 breakers with two histograms each, and here a
// sum may be ahead of its count by the calls that are being counted just now.
type histogram struct {
	bounds []float64       // shared
	counts []atomic.Uint64 // one for each bound, and one beyond the last
	micros atomic.Uint64   // the sum; nanoseconds could overflow within months
}

func newHistogram(bounds []float64) histogram {
	return histogram{bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
}

// observe counts d; below 0 counts as 0.
func (h *histogram) observe(d time.Duration) {
	d = max(d, 0)
	seconds, i := d.Seconds(), 0
	for i < len(h.bounds) && seconds > h.bounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.micros.Add(uint64(d.Microseconds()))
}

// distribution is a histogram as a metric; it reads when it is written.
type distribution struct {
	desc   *prometheus.Desc
	labels []*dto.LabelPair
	*histogram
}

// Desc implements [prometheus.Metric].
func (d distribution) Desc() *prometheus.Desc { return d.desc }

// Write implements [prometheus.Metric].
func (d distribution) Write(out *dto.Metric) error {
	var count uint64
	buckets := make([]*dto.Bucket, len(d.bounds))
	for i := range d.bounds {
		count += d.counts[i].Load()
		buckets[i] = &dto.Bucket{CumulativeCount: new(count), UpperBound: &d.bounds[i]}
	}
	count += d.counts[len(d.bounds)].Load()
	out.Label = d.labels
	out.Histogram = &dto.Histogram{
		SampleCount: &count,
		SampleSum:   new(float64(d.micros.Load()) / 1e6),
		Bucket:      buckets,
	}
	return nil
}
