package telemetry

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
)

// Options are what [Telemetry] asks when it is asked. Each function is called
// once for a scrape or a request, by many goroutines at a time, and what it
// returns is not changed afterwards by either side. A function may be nil: then
// there is nothing of its kind to show.
type Options struct {
	// Version is Breakwater's own, such as "v1.2.0".
	Version string
	// Breakers returns the status of every breaker now, in the order in which people
	// are to see them.
	Breakers func() []breaker.Status
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
	// Extproc returns the totals of the ext_proc server.
	Extproc func() ExtprocStatus
	// Log gets the errors of scrapes. nil: [slog.Default].
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
// goroutines and needs no end.
type Telemetry struct {
	options  Options
	registry *prometheus.Registry
	series   atomic.Pointer[seriesTable]
	reloads  reloads
}

// New returns a Telemetry that shows no breaker until the first [Telemetry.Apply].
func New(o Options) *Telemetry {
	o.fillIn()
	t := &Telemetry{options: o, registry: prometheus.NewRegistry()}
	t.series.Store(&seriesTable{})
	t.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		breakerCollector{t},
		controlPlaneCollector{t},
	)
	return t
}

// fillIn puts a function with nothing to show in the place of each one missing.
func (o *Options) fillIn() {
	if o.Breakers == nil {
		o.Breakers = func() []breaker.Status { return nil }
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
	if o.Extproc == nil {
		o.Extproc = func() ExtprocStatus { return ExtprocStatus{} }
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
}

// Apply says that set is in force since at, which also counts as one reload that
// succeeded; the load at start is one. Breakers that were there before go on
// with their series, new ones start at 0, and those of removed ones vanish. Call
// it before the breakers themselves are changed: of a breaker that is not in the
// policy there are no metrics, and its calls and transitions are not counted.
func (t *Telemetry) Apply(set *policy.Set, at time.Time) {
	t.reloads.applied(set.Revision, at, func() {
		t.series.Store(t.series.Load().next(set.Specs()))
	})
}

// Refused says that a policy was not taken at the time at; the one before stays
// in force. Where err is or wraps [policy.Diagnostics], each is shown by itself.
func (t *Telemetry) Refused(err error, at time.Time) { t.reloads.refused(err, at) }

// ObserveTransition counts a transition, and after [breaker.Open] how long that
// lasted. Transitions of one breaker have to come in their order.
func (t *Telemetry) ObserveTransition(tr breaker.Transition) {
	if s := t.series.Load().byKey[tr.Key]; s != nil {
		s.observe(tr)
	}
}

// ObserveCall counts the duration of one call that was admitted, from the
// permit to its outcome. It takes no lock and allocates nothing.
func (t *Telemetry) ObserveCall(key breaker.Key, d time.Duration) {
	if s := t.series.Load().byKey[key]; s != nil {
		s.calls.observe(d)
	}
}
