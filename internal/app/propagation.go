package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// propagation is a histogram of the time that gates take to reach all proxies.
type propagation struct{ prometheus.Histogram }

// newPropagation returns a histogram whose buckets are narrow around the usual time, 2 ms.
func newPropagation() propagation {
	return propagation{prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "breakwater_gate_propagation_seconds",
		Help: "Time from a breaker's change of state until all proxies that were connected then have acknowledged the gates that follow from it. " +
			"What a proxy refused is not observed.",
		Buckets: []float64{0.001, 0.0015, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5, 10},
	})}
}

// record counts a time of propagation. A negative time, which comes from a clock that was set back, counts as 0.
func (p propagation) record(d time.Duration) { p.Observe(max(d, 0).Seconds()) }
