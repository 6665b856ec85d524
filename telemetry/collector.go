package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"breakwater.dev/breaker"
)

// edges are the transitions there can be, each a series of every breaker.
var edges = breaker.Edges()

// edgeLabels are the labels of each of the edges, shared by all breakers.
var edgeLabels = func() [][3]*dto.LabelPair {
	labels := make([][3]*dto.LabelPair, len(edges))
	for i, e := range edges {
		labels[i] = [3]*dto.LabelPair{pair("from", e.From.String()), pair("reason", e.Reason.String()), pair("to", e.To.String())}
	}
	return labels
}()

// fallbackResponse is the only fallback so far: a response of our own.
var fallbackResponse = pair("fallback", "response")

// sample is a counter or a gauge as a metric, with labels made beforehand.
type sample struct {
	desc    *prometheus.Desc
	labels  []*dto.LabelPair
	counter bool
	value   float64
}

// Desc implements [prometheus.Metric].
func (s *sample) Desc() *prometheus.Desc { return s.desc }

// Write implements [prometheus.Metric].
func (s *sample) Write(out *dto.Metric) error {
	out.Label = s.labels
	if s.counter {
		out.Counter = &dto.Counter{Value: &s.value}
	} else {
		out.Gauge = &dto.Gauge{Value: &s.value}
	}
	return nil
}

// breakerDesc describes a metric that every breaker has.
func breakerDesc(name, help string, more ...string) *prometheus.Desc {
	return prometheus.NewDesc("circuit_breaker_"+name, help, append([]string{"service", "route"}, more...), nil)
}

var (
	stateDesc       = breakerDesc("state", "State of the breaker: 0 closed, 1 half-open, 2 open.")
	requestsDesc    = breakerDesc("requests_total", "Calls that asked the breaker, the rejected ones included.")
	successesDesc   = breakerDesc("successes_total", "Calls that succeeded.")
	failuresDesc    = breakerDesc("failures_total", "Calls that failed, timeouts included.")
	timeoutsDesc    = breakerDesc("timeouts_total", "Calls that failed because their deadline passed.")
	ignoredDesc     = breakerDesc("ignored_total", "Calls whose outcome says nothing about the upstream, such as those that the client gave up.")
	rejectedDesc    = breakerDesc("rejected_total", "Calls that were not admitted, by what the caller got in place of the upstream's answer.", "fallback")
	transitionsDesc = breakerDesc("transitions_total", "Changes of state, by their reason.", "from", "to", "reason")
	ratioDesc       = breakerDesc("failure_ratio", "Share of the calls in the window that failed, from 0 to 1. Absent while the window has fewer calls than the policy's minimum.")
	probesDesc      = breakerDesc("half_open_probes_in_flight", "Probes that were admitted in half-open and are not resolved.")
	leasesDesc      = breakerDesc("leases_expired_total", "Probes that were not resolved by their deadline, and whose slot was taken back.")
	changedDesc     = breakerDesc("state_changed_timestamp_seconds", "When the present state began, in seconds since 1970.")
	openDesc        = breakerDesc("open_duration_seconds", "How long the breaker was open, observed when it left that state.")
	responseDesc    = breakerDesc("response_duration_seconds", "How long admitted calls took, from their permit to their outcome.")
)

// breakerCollector collects the metrics of breakers.
type breakerCollector struct{ *Telemetry }

// Describe implements [prometheus.Collector].
func (breakerCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		stateDesc, requestsDesc, successesDesc, failuresDesc, timeoutsDesc, ignoredDesc, rejectedDesc,
		transitionsDesc, ratioDesc, probesDesc, leasesDesc, changedDesc, openDesc, responseDesc,
	} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector]. All breakers are of one snapshot. A
// breaker has either all its series or, where it is not in the policy, none.
func (c breakerCollector) Collect(ch chan<- prometheus.Metric) {
	byKey := c.series.Load().byKey
	for _, st := range c.options.Breakers() {
		if s := byKey[st.Key]; s != nil {
			c.collect(ch, &st, s)
		}
	}
}

func (c breakerCollector) collect(ch chan<- prometheus.Metric, st *breaker.Status, s *series) {
	gauge := func(desc *prometheus.Desc, v float64) {
		ch <- &sample{desc: desc, labels: s.labels, value: v}
	}
	counter := func(desc *prometheus.Desc, v uint64) {
		ch <- &sample{desc: desc, labels: s.labels, counter: true, value: float64(v)}
	}
	gauge(stateDesc, float64(st.State))
	counter(requestsDesc, st.Counts.Requests)
	counter(successesDesc, st.Counts.Successes)
	counter(failuresDesc, st.Counts.Failures)
	counter(timeoutsDesc, st.Counts.Timeouts)
	counter(ignoredDesc, st.Counts.Ignored)
	counter(leasesDesc, st.Counts.LeasesExpired)
	gauge(probesDesc, float64(st.ProbesInFlight))
	gauge(changedDesc, float64(c.options.Wall(st.Since).UnixMilli())/1e3)
	if w := st.Window; w.Calls >= uint64(st.Config.MinimumNumberOfCalls) && w.Calls > 0 {
		gauge(ratioDesc, float64(w.Failures)/float64(w.Calls))
	}
	route, service := s.labels[0], s.labels[1]
	ch <- &sample{
		desc: rejectedDesc, counter: true, value: float64(st.Counts.Rejected),
		labels: []*dto.LabelPair{fallbackResponse, route, service},
	}
	for i, e := range edgeLabels {
		ch <- &sample{
			desc: transitionsDesc, counter: true, value: float64(s.transitions[i].Load()),
			labels: []*dto.LabelPair{e[0], e[1], route, service, e[2]},
		}
	}
	ch <- distribution{openDesc, s.labels, &s.opened}
	ch <- distribution{responseDesc, s.labels, &s.calls}
}
