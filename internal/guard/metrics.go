package guard

import "github.com/prometheus/client_golang/prometheus"

var (
	refusedDesc = prometheus.NewDesc("breakwater_proxies_refused_total", "Connections and streams that were refused, by service and reason; see the operations page.", []string{"service", "reason"}, nil)
	heldDesc    = prometheus.NewDesc("breakwater_proxies_held_bytes", "What proxies hold in the control plane, by estimate: connections, streams, and what is on its way to them.", nil, nil)
	limitDesc   = prometheus.NewDesc("breakwater_proxies_held_limit_bytes", "How much proxies may hold in the control plane (--proxy-memory).", nil, nil)
)

// Stats are the figures of a guard at one instant. They are a [prometheus.Collector] of themselves.
type Stats struct {
	Refused     []Refused
	Held, Limit int64 // how many bytes peers hold and may hold, by estimate
}

// Stats returns the figures of now.
func (g *Guard) Stats() Stats {
	return Stats{Refused: g.Refused(), Held: g.held.Load(), Limit: g.options.Memory}
}

// Describe implements [prometheus.Collector]. All figures are there from the start.
func (g *Guard) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(g, ch) }

// Collect implements [prometheus.Collector].
func (g *Guard) Collect(ch chan<- prometheus.Metric) { g.Stats().Collect(ch) }

// Describe implements [prometheus.Collector].
func (s Stats) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(s, ch) }

// Collect implements [prometheus.Collector].
func (s Stats) Collect(ch chan<- prometheus.Metric) {
	for _, r := range s.Refused {
		ch <- prometheus.MustNewConstMetric(refusedDesc, prometheus.CounterValue, float64(r.Total), r.Service, r.Reason)
	}
	ch <- prometheus.MustNewConstMetric(heldDesc, prometheus.GaugeValue, float64(s.Held))
	ch <- prometheus.MustNewConstMetric(limitDesc, prometheus.GaugeValue, float64(s.Limit))
}
