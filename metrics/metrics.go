package metrics

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"breakwater.dev/api"
	"breakwater.dev/breaker"
	"breakwater.dev/metrics/internal/series"
	"breakwater.dev/outlier"
	"breakwater.dev/policy"
)

// Options are the parts of [Metrics].
type Options struct {
	Version  string   // Breakwater's own, such as "v1.2.0"
	Engine   Engine   // required
	Clock    Clock    // by which the engine runs; required
	Outliers Outliers // nil: no endpoint is judged for all proxies together
	// Log gets the errors of scrapes. nil: [slog.Default].
	Log *slog.Logger
}

// Engine has the breakers, as [*breaker.Engine] does.
type Engine interface {
	// AppendSnapshot appends the status of every breaker to dst and returns it. In a scope of nodes the breakers of single
	// proxies follow the one for all proxies together, which has no node. The caller uses dst again.
	AppendSnapshot(dst []breaker.Status, now breaker.Instant) []breaker.Status
}

// Clock gives instants, and the time of an instant.
type Clock interface {
	Now() breaker.Instant
	Wall(breaker.Instant) time.Time
}

// Outliers has the upstreams whose endpoints are judged for all proxies together, as [*outlier.Detector] does.
type Outliers interface {
	// Snapshot returns the status of each, by name.
	Snapshot() []outlier.Status
}

// Metrics collects what Prometheus gets. Make one with [New]; it has no goroutines of its own.
type Metrics struct {
	options   Options
	registry  *prometheus.Registry // has all metrics except the ones for breakers and ejections
	series    series.Table
	set       *policy.Set // that is applied; nil: none is. The lock of loads guards it
	loads     loads
	snapshots sync.Pool // of *[]breaker.Status
}

// New returns metrics that have no breaker until the first [Metrics.Apply].
func New(o Options) *Metrics {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	m := &Metrics{
		options: o, registry: prometheus.NewRegistry(),
		snapshots: sync.Pool{New: func() any { return new([]breaker.Status) }},
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "breakwater_build_info", Help: "Always 1; the label has the version of this control plane.",
		ConstLabels: prometheus.Labels{"version": o.Version},
	})
	build.Set(1)
	m.Register(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build, &m.loads)
	return m
}

// Register adds the metrics of others. It panics where two have one of the same name: that is a bug.
func (m *Metrics) Register(cs ...prometheus.Collector) { m.registry.MustRegister(cs...) }

// Apply says that set is in force since at, which also counts as one load that succeeded; the one at start is one.
// Breakers that were there before go on with their series, new ones start at 0, and removed ones lose theirs. Call
// it before the breakers themselves are changed: a breaker that is not in the policy has no metrics, and its calls and
// transitions are not counted. The set must not be changed afterwards.
func (m *Metrics) Apply(set *policy.Set, at time.Time) {
	m.loads.applied(set.Revision, at, func() {
		change := set.Since(m.set)
		m.set = set
		var gone []string
		for _, u := range change.Gone {
			gone = append(gone, u.Name)
		}
		var specs []*breaker.Spec
		fallbacks := map[breaker.Key]series.Fallback{}
		for _, u := range change.New {
			for r := range u.Breakers() {
				specs = append(specs, &r.Breaker.Spec)
				if f := fallback(r.Breaker); f != series.Response {
					fallbacks[r.Breaker.Spec.Key] = f
				}
			}
		}
		m.series.Apply(gone, specs, fallbacks)
	})
}

// Refused says that a policy was refused at the time at; the one before stays in force. Where err is or wraps
// [policy.Diagnostics], each of them is one problem.
func (m *Metrics) Refused(err error, at time.Time) { m.loads.refused(err, at) }

// Load returns which policy is in force, and what became of the last load.
func (m *Metrics) Load() api.Load { return m.loads.now().describe() }

// ObserveTransition counts a transition, and how long a stretch of [breaker.Open] was that it ends. The transitions of
// a proxy's own breaker count for the key without the node. The transitions of one breaker have to come in their order.
func (m *Metrics) ObserveTransition(t breaker.Transition) { m.series.ObserveTransition(t) }

// RememberTransition takes a transition that another replica has made and counted, for [Metrics.LastTransition].
func (m *Metrics) RememberTransition(t breaker.Transition) { m.series.RememberTransition(t) }

// LastTransition returns the last transition of a breaker, whichever proxy's it was; nil: there was none, or
// the policy has no such breaker.
func (m *Metrics) LastTransition(key breaker.Key) *breaker.Transition { return m.series.Last(key) }

// ObserveCalls counts the service's time of n calls that were admitted, each of them d. n is 1 where every call is
// observed, and how many calls this one stands for where calls are sampled. It takes no lock and allocates nothing.
func (m *Metrics) ObserveCalls(key breaker.Key, d time.Duration, n uint64) {
	m.series.ObserveCalls(key, d, n)
}

// ObserveWholeCalls counts how long n calls lasted from beginning to end, as [Metrics.ObserveCalls].
func (m *Metrics) ObserveWholeCalls(key breaker.Key, d time.Duration, n uint64) {
	m.series.ObserveWholeCalls(key, d, n)
}

// ObserveAnswered counts n calls that were rejected where copies of responses are kept, by whether they were answered
// with a copy.
func (m *Metrics) ObserveAnswered(key breaker.Key, cached bool, n uint64) {
	m.series.ObserveAnswered(key, cached, n)
}

// fallback returns the fallback of a breaker.
func fallback(b *policy.Breaker) series.Fallback {
	switch {
	case b.Fallback.Upstream != nil:
		return series.Upstream
	case b.Fallback.Cached != nil:
		return series.Cached
	}
	return series.Response
}
