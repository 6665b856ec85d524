package metrics

import (
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"breakwater.dev/api"
	"breakwater.dev/policy"
)

var (
	policyDesc   = prometheus.NewDesc("breakwater_policy_info", "Always 1; the label has the revision of the policy in force. Absent before the first is.", []string{"revision"}, nil)
	reloadsDesc  = prometheus.NewDesc("breakwater_reload_total", "Loads of the policy, the one at start included, by what became of them.", []string{"result"}, nil)
	lastOKDesc   = prometheus.NewDesc("breakwater_reload_last_successful", "Whether the last load of the policy succeeded: 1 yes, 0 no, and the policy before stays in force.", nil, nil)
	successDesc  = prometheus.NewDesc("breakwater_reload_last_success_timestamp_seconds", "When the policy in force was loaded, in seconds since 1970. 0 before the first is.", nil, nil)
	problemsDesc = prometheus.NewDesc("breakwater_reload_problems", "Problems found by the last load of the policy; 0 when it succeeded.", nil, nil)
)

// loads counts the loads of policies, and remembers the last one. It is a [prometheus.Collector].
type loads struct {
	mu    sync.Mutex
	state load
}

// load is the policy in force and the last load.
type load struct {
	revision  string    // the hash of the policy in force; "" before the first
	loadedAt  time.Time // when that revision was taken
	lastAt    time.Time // when the last load was, whatever its result; zero before the first
	refusal   error     // why the last load was refused; nil: it succeeded
	succeeded uint64
	refused   uint64
}

// applied notes a success, and makes change within the same step. So when two policies are applied at the same time, the
// later one wins in both.
func (l *loads) applied(revision string, at time.Time, change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	l.state.revision, l.state.loadedAt = revision, at
	l.state.lastAt, l.state.refusal = at, nil
	l.state.succeeded++
}

func (l *loads) refused(err error, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state.lastAt, l.state.refusal = at, err
	l.state.refused++
}

func (l *loads) now() load {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// describe returns what /config says of it.
func (l load) describe() api.Load {
	d := api.Load{Revision: l.revision}
	if l.revision != "" {
		d.LoadedAt = new(api.Timestamp(l.loadedAt))
	}
	if l.lastAt.IsZero() {
		return d
	}
	r := &api.Reload{At: api.Timestamp(l.lastAt), Result: api.LoadSucceeded, Problems: []string{}, Diagnostics: []api.Diagnostic{}}
	d.LastReload = r
	if l.refusal == nil {
		return d
	}
	r.Result = api.LoadRefused
	var all policy.Diagnostics
	if !errors.As(l.refusal, &all) {
		r.Problems = append(r.Problems, l.refusal.Error())
	}
	for _, one := range all {
		r.Problems = append(r.Problems, one.String())
		r.Diagnostics = append(r.Diagnostics, api.Diagnostic(one))
	}
	return d
}

// Describe implements [prometheus.Collector].
func (l *loads) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{policyDesc, reloadsDesc, lastOKDesc, successDesc, problemsDesc} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (l *loads) Collect(ch chan<- prometheus.Metric) {
	is := l.now()
	loaded, ok := 0.0, 1.0
	if is.revision != "" {
		ch <- prometheus.MustNewConstMetric(policyDesc, prometheus.GaugeValue, 1, is.revision)
		loaded = float64(is.loadedAt.UnixMilli()) / 1e3
	}
	if is.refusal != nil || is.lastAt.IsZero() {
		ok = 0
	}
	ch <- prometheus.MustNewConstMetric(reloadsDesc, prometheus.CounterValue, float64(is.succeeded), "success")
	ch <- prometheus.MustNewConstMetric(reloadsDesc, prometheus.CounterValue, float64(is.refused), "refused")
	ch <- prometheus.MustNewConstMetric(lastOKDesc, prometheus.GaugeValue, ok)
	ch <- prometheus.MustNewConstMetric(successDesc, prometheus.GaugeValue, loaded)
	ch <- prometheus.MustNewConstMetric(problemsDesc, prometheus.GaugeValue, float64(problems(is.refusal)))
}

// problems returns how many problems err is.
func problems(err error) int {
	var all policy.Diagnostics
	switch {
	case err == nil:
		return 0
	case errors.As(err, &all):
		return len(all)
	default:
		return 1
	}
}
