package store

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	enabledDesc  = prometheus.NewDesc("breakwater_store_enabled", "Whether breakers are kept over a restart: 1 yes, 0 no. The other metrics of the store are absent then.", nil, nil)
	writesDesc   = prometheus.NewDesc("breakwater_store_writes_total", "Writes of the state of breakers that succeeded.", nil, nil)
	failuresDesc = prometheus.NewDesc("breakwater_store_failures_total", "Writes of the state of breakers that failed. Until one succeeds, a restart may close open breakers early.", nil, nil)
	bytesDesc    = prometheus.NewDesc("breakwater_store_written_bytes_total", "Bytes written for the state of breakers.", nil, nil)
	successDesc  = prometheus.NewDesc("breakwater_store_last_success_timestamp_seconds", "When what is kept was last known to be the state of breakers, in seconds since 1970; renewed each minute while all is well. 0 before the first time.", nil, nil)
)

// Stats are totals since the keeper was made. They implement [prometheus.Collector].
type Stats struct {
	Writes   uint64 // writes that succeeded
	Failures uint64 // writes that failed
	Bytes    uint64 // bytes written
	// LastSuccess is when the saved states were last known to be the current ones; zero: never. Without failures it is at
	// most a minute old.
	LastSuccess time.Time
}

// Stats returns the totals.
func (k *Keeper) Stats() Stats {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.stats
}

// count counts one attempt to save.
func (k *Keeper) count(written int, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		k.stats.Failures++
		return
	}
	if written > 0 {
		k.stats.Writes++
		k.stats.Bytes += uint64(written)
	}
	k.stats.LastSuccess = time.Now()
}

// Describe implements [prometheus.Collector].
func (k *Keeper) Describe(ch chan<- *prometheus.Desc) { Stats{}.Describe(ch) }

// Collect implements [prometheus.Collector]. A nil Keeper saves nothing, and has one metric, which says so.
func (k *Keeper) Collect(ch chan<- prometheus.Metric) {
	if k == nil {
		ch <- prometheus.MustNewConstMetric(enabledDesc, prometheus.GaugeValue, 0)
		return
	}
	k.Stats().Collect(ch)
}

// Describe implements [prometheus.Collector].
func (s Stats) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(s, ch) }

// Collect implements [prometheus.Collector]. All series exist from the start.
func (s Stats) Collect(ch chan<- prometheus.Metric) {
	last := 0.0
	if !s.LastSuccess.IsZero() {
		last = float64(s.LastSuccess.UnixMilli()) / 1e3
	}
	ch <- prometheus.MustNewConstMetric(enabledDesc, prometheus.GaugeValue, 1)
	ch <- prometheus.MustNewConstMetric(writesDesc, prometheus.CounterValue, float64(s.Writes))
	ch <- prometheus.MustNewConstMetric(failuresDesc, prometheus.CounterValue, float64(s.Failures))
	ch <- prometheus.MustNewConstMetric(bytesDesc, prometheus.CounterValue, float64(s.Bytes))
	ch <- prometheus.MustNewConstMetric(successDesc, prometheus.GaugeValue, last)
}
