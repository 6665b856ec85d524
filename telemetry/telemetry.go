package telemetry

import (
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
	"breakwater.dev/telemetry/internal/broadcast"
	"breakwater.dev/telemetry/internal/byhand"
	"breakwater.dev/telemetry/internal/series"
)

// Options are what [Telemetry] asks when it is asked. Each function is called
// once for a scrape or a request, by many goroutines at a time. But for Breakers,
// what it returns is not changed afterwards by either side. A function may be
// nil: then there is nothing of its kind to show.
type Options struct {
	// Version is Breakwater's own, such as "v1.2.0".
	Version string
	// Instance is the name of this control plane among others.
	Instance string
	// Breakers appends the status of every breaker now to dst, in the order in which
	// people are to see them, and returns it. In a scope of nodes those of single
	// proxies follow the one of all proxies together, which has no node. dst is used
	// again, so it must not be kept.
	Breakers func(dst []breaker.Status) []breaker.Status
	// Wall is the time of an instant. nil takes instants for Unix time.
	Wall func(breaker.Instant) time.Time
	// Ready returns what has to hold for this process to serve. A process that is
	// shutting down says so by a condition that does not hold.
	Ready func() []Condition
	// Calls returns the upstreams that a workload calls; known is false where no
	// proxy of that workload has been seen.
	Calls func(workload string) (upstreams []string, known bool)
	// Config returns the compiled policy in a form that [encoding/json] can write.
	Config func() any
	// XDS returns what the xDS server knows.
	XDS func() XDSStatus
	// Store returns how breakers are kept over a restart.
	Store func() StoreStatus
	// Extproc returns the totals of the ext_proc server.
	Extproc func() ExtprocStatus
	// Feed returns the totals of the feed.
	Feed func() FeedStatus
	// Peers returns what was refused to who connects to the port for proxies, and what they hold.
	Peers func() PeerStatus
	// Handshakes returns how many TLS handshakes failed since the process started, by
	// each of [HandshakeReasons].
	Handshakes func() map[string]uint64
	// Gates returns what stands in the data plane.
	Gates func() GateStatus
	// Outliers returns the upstreams whose endpoints are judged for all proxies
	// together, each once, in any order.
	Outliers func() []OutlierStatus
	// Admin makes changes by hand possible; nil: they are refused.
	Admin *Admin
	// Log gets the errors of answers, and every attempt at a change by hand. nil:
	// [slog.Default].
	Log *slog.Logger
}

// Condition is one thing that has to hold for this process to serve.
type Condition struct {
	Name string `json:"name"` // such as "policy" or "xds listener"
	OK   bool   `json:"ok"`
	// Reason says what is missing, or more about what is there; may be empty.
	Reason string `json:"reason,omitempty"`
}

// Telemetry collects what is to be shown. Make one with [New]; it has no
// goroutines of its own.
type Telemetry struct {
	options     Options
	registry    *prometheus.Registry // of all but the metrics of breakers and of ejections
	series      series.Table
	propagation prometheus.Histogram       // of gates
	set         atomic.Pointer[policy.Set] // in force; nil: none yet
	snapshots   sync.Pool                  // of *[]breaker.Status
	followers   *broadcast.Hub
	following   *places // of followers
	audit       byhand.Audit
	reloads     reloads
}

// New returns a Telemetry that shows no breaker until the first [Telemetry.Apply].
func New(o Options) *Telemetry {
	o.fillIn()
	t := &Telemetry{
		options: o, registry: prometheus.NewRegistry(),
		snapshots: sync.Pool{New: func() any { return new([]breaker.Status) }},
		followers: broadcast.NewHub(maxFollowers, followerBacklog), following: newPlaces(math.MaxInt, maxFollowersEach),
		audit: byhand.Audit{Log: o.Log}, propagation: newPropagation(),
	}
	t.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		controlPlaneCollector{t},
		t.propagation,
	)
	return t
}

// fillIn puts a function with nothing to show in the place of each one missing.
func (o *Options) fillIn() {
	if o.Breakers == nil {
		o.Breakers = func(dst []breaker.Status) []breaker.Status { return dst }
	}
	if o.Wall == nil {
		o.Wall = func(i breaker.Instant) time.Time { return time.Unix(0, int64(i)) }
	}
	if o.Ready == nil {
		o.Ready = func() []Condition { return nil }
	}
	if o.Calls == nil {
		o.Calls = func(string) ([]string, bool) { return nil, false }
	}
	if o.Config == nil {
		o.Config = func() any { return nil }
	}
	if o.XDS == nil {
		o.XDS = func() XDSStatus { return XDSStatus{} }
	}
	if o.Store == nil {
		o.Store = func() StoreStatus { return StoreStatus{} }
	}
	if o.Extproc == nil {
		o.Extproc = func() ExtprocStatus { return ExtprocStatus{} }
	}
	if o.Feed == nil {
		o.Feed = func() FeedStatus { return FeedStatus{} }
	}
	if o.Peers == nil {
		o.Peers = func() PeerStatus { return PeerStatus{} }
	}
	if o.Handshakes == nil {
		o.Handshakes = func() map[string]uint64 { return nil }
	}
	if o.Gates == nil {
		o.Gates = func() GateStatus { return GateStatus{} }
	}
	if o.Outliers == nil {
		o.Outliers = func() []OutlierStatus { return nil }
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
}

// Apply says that set is in force since at, which also counts as one reload that
// succeeded; the load at start is one. Breakers that were there before go on
// with their series, new ones start at 0, and those of removed ones vanish. Call
// it before the breakers themselves are changed: of a breaker that is not in the
// policy there are no metrics, and its calls and transitions are not counted. The
// set is kept, and must not be changed.
func (t *Telemetry) Apply(set *policy.Set, at time.Time) {
	t.reloads.applied(set.Revision, at, func() {
		t.series.Apply(set.Specs(), fallbacks(set))
		t.set.Store(set)
	})
}

// Refused says that a policy was not taken at the time at; the one before stays
// in force. Where err is or wraps [policy.Diagnostics], each is shown by itself.
func (t *Telemetry) Refused(err error, at time.Time) { t.reloads.refused(err, at) }

// ObserveTransition counts a transition, and of each stretch of [breaker.Open]
// that ends how long it was, and tells those who follow at /transitions. What
// happens to a proxy's breaker counts for the key without the node. Transitions of
// one breaker have to come in their order.
func (t *Telemetry) ObserveTransition(tr breaker.Transition) {
	t.series.ObserveTransition(tr)
	t.tell(&tr)
}

// ObserveCalls counts the service's time of n calls that were admitted, as d each: 1 where every
// call is told of, and how many it stands for where it is one of a sample. It takes no lock
// and allocates nothing.
func (t *Telemetry) ObserveCalls(key breaker.Key, d time.Duration, n uint64) {
	t.series.ObserveCalls(key, d, n)
}

// ObserveWholeCalls counts how long n calls lasted from beginning to end, as [Telemetry.ObserveCalls].
func (t *Telemetry) ObserveWholeCalls(key breaker.Key, d time.Duration, n uint64) {
	t.series.ObserveWholeCalls(key, d, n)
}

// ObserveAnswered counts n calls that were rejected where copies of responses are kept, by
// whether they were answered with one.
func (t *Telemetry) ObserveAnswered(key breaker.Key, cached bool, n uint64) {
	t.series.ObserveAnswered(key, cached, n)
}

// fallbacks are those of a set that are more than a response.
func fallbacks(set *policy.Set) map[breaker.Key]series.Fallback {
	all := map[breaker.Key]series.Fallback{}
	for _, u := range set.Upstreams {
		for i := range u.Routes {
			switch b := u.Routes[i].Breaker; {
			case b == nil:
			case b.Fallback.Upstream != nil:
				all[b.Spec.Key] = series.Upstream
			case b.Fallback.Cached != nil:
				all[b.Spec.Key] = series.Cached
			}
		}
	}
	return all
}

// ObserveGatePropagation counts how long it took from a change of state until all
// proxies obeyed; below 0, which a stepped clock can bring about, counts as 0.
func (t *Telemetry) ObserveGatePropagation(d time.Duration) {
	t.propagation.Observe(max(d, 0).Seconds())
}

// Close ends the answers to all who follow at /transitions, which would not end
// by themselves, and lets nobody new follow; everything else goes on. Call it
// before the HTTP server is shut down.
func (t *Telemetry) Close() { t.followers.Close() }

// withStatuses calls use with the status of every breaker; it must not keep them.
func (t *Telemetry) withStatuses(use func([]breaker.Status)) {
	s := t.snapshots.Get().(*[]breaker.Status)
	defer t.snapshots.Put(s)
	*s = t.options.Breakers((*s)[:0])
	use(*s)
}
