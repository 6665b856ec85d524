package shared

import "github.com/prometheus/client_golang/prometheus"

var (
	reachableDesc = prometheus.NewDesc("breakwater_store_reachable", "Whether the shared store did what it was asked the last time: 1 yes, 0 no, or it was not asked yet.", nil, nil)
	errorsDesc    = prometheus.NewDesc("breakwater_store_errors_total", "Requests to the shared store that failed, by operation.", []string{"operation"}, nil)
	fencedDesc    = prometheus.NewDesc("breakwater_store_fenced_writes_total", "States of breakers that the shared store refused, because another replica had written newer ones.", nil, nil)
)

// Describe implements [prometheus.Collector].
func (s *Store) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(s, ch) }

// Collect implements [prometheus.Collector]. All series exist from the start. The [Keeper] is a collector too, for the writes and the bytes.
func (s *Store) Collect(ch chan<- prometheus.Metric) {
	h := &s.health
	h.mu.Lock()
	reachable, errors, fenced := 0.0, h.errors, h.fenced
	if h.used && !h.failing {
		reachable = 1
	}
	h.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(reachableDesc, prometheus.GaugeValue, reachable)
	for op := range operations {
		ch <- prometheus.MustNewConstMetric(errorsDesc, prometheus.CounterValue, float64(errors[op]), op.String())
	}
	ch <- prometheus.MustNewConstMetric(fencedDesc, prometheus.CounterValue, float64(fenced))
}
