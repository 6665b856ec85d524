package extproc

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	streamsDesc   = prometheus.NewDesc("breakwater_extproc_streams", "Open ext_proc streams; each is one request in flight.", nil, nil)
	decisionsDesc = prometheus.NewDesc("breakwater_extproc_decisions_total", "Requests that a breaker decided on.", []string{"decision"}, nil)
	unknownDesc   = prometheus.NewDesc("breakwater_extproc_unknown_breakers_total", "Requests that named a breaker which the policy does not have. They were let through.", nil, nil)
	errorsDesc    = prometheus.NewDesc("breakwater_extproc_errors_total", "Streams that a fault ended, not the end of their request.", nil, nil)
)

// Counts are the totals since the server was made, and the number of open streams. They are a [prometheus.Collector] of themselves.
type Counts struct {
	Streams         int64  // open now
	Admitted        uint64 // requests that got a permit
	Rejected        uint64 // requests that got the fallback
	UnknownBreakers uint64 // streams that name no breaker of the policy; their requests pass
	Errors          uint64 // messages that the proxy's filter should not send; they end their stream
}

// counters are the same as they are counted.
type counters struct {
	streams                                     atomic.Int64
	admitted, rejected, unknownBreakers, errors atomic.Uint64
}

// Counts returns the totals.
func (s *Server) Counts() Counts {
	c := &s.counts
	return Counts{
		Streams: c.streams.Load(), Admitted: c.admitted.Load(), Rejected: c.rejected.Load(),
		UnknownBreakers: c.unknownBreakers.Load(), Errors: c.errors.Load(),
	}
}

// Describe implements [prometheus.Collector].
func (s *Server) Describe(ch chan<- *prometheus.Desc) { Counts{}.Describe(ch) }

// Collect implements [prometheus.Collector].
func (s *Server) Collect(ch chan<- prometheus.Metric) { s.Counts().Collect(ch) }

// Describe implements [prometheus.Collector].
func (c Counts) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements [prometheus.Collector]. All figures are always there.
func (c Counts) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(streamsDesc, prometheus.GaugeValue, float64(c.Streams))
	ch <- prometheus.MustNewConstMetric(decisionsDesc, prometheus.CounterValue, float64(c.Admitted), "admitted")
	ch <- prometheus.MustNewConstMetric(decisionsDesc, prometheus.CounterValue, float64(c.Rejected), "rejected")
	ch <- prometheus.MustNewConstMetric(unknownDesc, prometheus.CounterValue, float64(c.UnknownBreakers))
	ch <- prometheus.MustNewConstMetric(errorsDesc, prometheus.CounterValue, float64(c.Errors))
}
