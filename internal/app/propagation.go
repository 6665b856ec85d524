package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// propagation is the histogram of how long gates take to reach all proxies.
type propagation struct{ prometheus.Histogram }

// newPropagation returns a histogram whose first bounds are close together around the usual time, which is 2 ms.
func newPropagation() propagation {
	return propagation{prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "breakwater_gate_propagation_seconds",
		Help: "Time from a breaker's change of state until all proxies that were connected then have acknowledged the gates that follow from it. " +
			"What a proxy refused is not observed.",
		Buckets: []float64{0.001, 0.0015, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5, 10},
	})}
}

// took counts that gates took d. Below 0, which a clock that was set back brings about, it counts as 0.
func (p propagation) took(d time.Duration) { p.Observe(max(d, 0).Seconds()) }
