package feed

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	streamsDesc  = prometheus.NewDesc("breakwater_feed_streams", "Open streams of access logs; each is one log of a proxy.", nil, nil)
	messagesDesc = prometheus.NewDesc("breakwater_feed_messages_total", "Messages of access logs that were received.", nil, nil)
	bytesDesc    = prometheus.NewDesc("breakwater_feed_bytes_total", "Bytes of the messages of access logs that were received.", nil, nil)
	entriesDesc  = prometheus.NewDesc("breakwater_feed_entries_total", "Entries of access logs, by what became of them: reported told a breaker of an outcome, running told it of a slow call that had not ended, "+
		"rejected told it of calls that the proxy rejected, skipped had nothing to tell, invalid could not be read, dropped came faster than they could be taken, "+
		"refused told of an upstream that their proxy does not say it calls.", []string{"result"}, nil)
)

// Counts are totals since the server was made, except Streams. Each entry that was received is counted in one of Reported,
// Running, Rejected, Skipped, Dropped and Refused; entries of a malformed message may be in none. They are a
// [prometheus.Collector] of themselves.
type Counts struct {
	Streams  int64 // open now
	Messages uint64
	Bytes    uint64 // in these messages
	Reported uint64 // entries that gave a breaker an outcome
	Running  uint64 // entries that told a breaker of a slow call that had not ended
	Rejected uint64 // entries of rejected calls
	Skipped  uint64 // entries that a proxy logged for another reason, or of no known breaker
	Invalid  uint64 // messages that ended their stream, since they were malformed or named no proxy
	Dropped  uint64 // entries that came faster than they could be counted
	Refused  uint64 // entries about an upstream that their proxy does not call or may not call
}

// counters are the same as they are counted.
type counters struct {
	streams                                                                          atomic.Int64
	messages, bytes, reported, running, rejected, skipped, invalid, dropped, refused atomic.Uint64
}

// Counts returns the totals.
func (s *Server) Counts() Counts {
	c := &s.counts
	return Counts{
		Streams: c.streams.Load(), Messages: c.messages.Load(), Bytes: c.bytes.Load(), Reported: c.reported.Load(),
		Running: c.running.Load(), Rejected: c.rejected.Load(), Skipped: c.skipped.Load(), Invalid: c.invalid.Load(), Dropped: c.dropped.Load(), Refused: c.refused.Load(),
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
	ch <- prometheus.MustNewConstMetric(messagesDesc, prometheus.CounterValue, float64(c.Messages))
	ch <- prometheus.MustNewConstMetric(bytesDesc, prometheus.CounterValue, float64(c.Bytes))
	for _, entries := range []struct {
		result string
		total  uint64
	}{
		{"reported", c.Reported}, {"running", c.Running}, {"rejected", c.Rejected}, {"skipped", c.Skipped}, {"invalid", c.Invalid}, {"dropped", c.Dropped}, {"refused", c.Refused},
	} {
		ch <- prometheus.MustNewConstMetric(entriesDesc, prometheus.CounterValue, float64(entries.total), entries.result)
	}
}
