package publisher

import "github.com/prometheus/client_golang/prometheus"

var gatesDesc = prometheus.NewDesc("breakwater_gates", "Gates that stand in proxies now, by kind: open rejects all calls, probing lets a share of them ask for permits, "+
	"ramping rejects a share and lets the others through, connections bounds the connections of an upstream that speaks TCP. A gate in one proxy alone counts as one.", []string{"kind"}, nil)

// Counts are the numbers of gates by kind. A gate for a single proxy counts as one. They are a [prometheus.Collector] of themselves.
type Counts struct {
	Open        int // gates that reject all calls
	Probing     int // gates that let a share of the calls ask for permits
	Ramping     int // gates that reject a share of the calls
	Connections int // gates that bound the connections to an upstream that speaks TCP
}

// Counts returns the numbers of gates that are published.
func (p *Publisher) Counts() Counts { return *p.counts.Load() }

// Describe implements [prometheus.Collector].
func (p *Publisher) Describe(ch chan<- *prometheus.Desc) { ch <- gatesDesc }

// Collect implements [prometheus.Collector].
func (p *Publisher) Collect(ch chan<- prometheus.Metric) { p.Counts().Collect(ch) }

// Describe implements [prometheus.Collector].
func (c Counts) Describe(ch chan<- *prometheus.Desc) { ch <- gatesDesc }

// Collect implements [prometheus.Collector]. All kinds are always there.
func (c Counts) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(gatesDesc, prometheus.GaugeValue, float64(c.Open), "open")
	ch <- prometheus.MustNewConstMetric(gatesDesc, prometheus.GaugeValue, float64(c.Probing), "probing")
	ch <- prometheus.MustNewConstMetric(gatesDesc, prometheus.GaugeValue, float64(c.Ramping), "ramping")
	ch <- prometheus.MustNewConstMetric(gatesDesc, prometheus.GaugeValue, float64(c.Connections), "connections")
}
