package metrics

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/exposition"
	"breakwater.dev/internal/typical"
	"breakwater.dev/outlier"
	"breakwater.dev/policy"
)

// scalars returns the values that the families without further labels have for a status. A family
// that is not there has no sample.
func scalars(st *breaker.Status) map[string]float64 {
	c := st.Counts
	m := map[string]float64{
		"state": float64(st.State), "forced": 0, "mode": 1, "calls_in_flight": float64(st.InFlight),
		"half_open_probes_in_flight":      float64(st.ProbesInFlight),
		"state_changed_timestamp_seconds": float64(typical.Wall(st.Since).UnixMilli()) / 1e3,
		"requests_total":                  float64(c.Requests), "rejected_total": float64(c.Rejected), "would_reject_total": float64(c.WouldReject),
		"successes_total": float64(c.Successes), "failures_total": float64(c.Failures), "timeouts_total": float64(c.Timeouts),
		"slow_calls_total": float64(c.Slow), "ignored_total": float64(c.Ignored), "leases_expired_total": float64(c.LeasesExpired),
	}
	if st.Override != nil || st.Config.Mode == breaker.ForcedOpen {
		m["forced"] = 1
	}
	if e := st.Episode; e != nil && st.State != breaker.Closed {
		m["episode_start_timestamp_seconds"] = float64(typical.Wall(e.Cause.At).UnixMilli()) / 1e3
	}
	if w := st.Window; w.Calls >= uint64(st.Config.MinimumNumberOfCalls) {
		m["failure_ratio"] = float64(w.Failures) / float64(w.Calls)
		m["slow_call_ratio"] = float64(w.Slow) / float64(w.Calls)
	}
	return m
}

// someStatuses are n breakers with every field drawn at random, under names that
// have to be escaped.
func someStatuses(r *rand.Rand, n int) []breaker.Status {
	count := func() uint64 { return r.Uint64N(1 << (1 + r.UintN(50))) }
	statuses := make([]breaker.Status, n)
	for i := range statuses {
		config := breaker.DefaultConfig()
		config.Mode = breaker.Mode(r.UintN(4))
		st := breaker.Status{
			Key:    breaker.Key{Upstream: fmt.Sprintf("up\"%d\\", i/3), Route: []string{"", "one\ntwo", "ünïcode"}[i%3]},
			Config: &config, State: breaker.State(r.UintN(3)), Since: breaker.Instant(r.Int64N(1e15)),
			InFlight: count(), ProbesInFlight: r.Uint32(),
			Window: breaker.WindowCounts{Calls: r.Uint64N(20)},
			Counts: breaker.Counts{
				Requests: count(), Rejected: count(), WouldReject: count(), Successes: count(), Failures: count(),
				Timeouts: count(), Slow: count(), Ignored: count(), LeasesExpired: count(),
			},
		}
		st.Window.Failures, st.Window.Slow = r.Uint64N(st.Window.Calls+1), r.Uint64N(st.Window.Calls+1)
		if r.UintN(5) == 0 {
			st.Override = &breaker.Override{State: breaker.Closed}
		}
		if r.UintN(5) == 0 {
			st.Episode = &breaker.Episode{Cause: &breaker.Transition{At: breaker.Instant(r.Int64N(1e15))}}
		}
		statuses[i] = st
	}
	return statuses
}

// TestRoundTrip: the library's parser finds in the exposition, family by family,
// what the statuses say, and nothing else. There are enough breakers for many pieces.
func TestRoundTrip(t *testing.T) {
	statuses := someStatuses(rand.New(rand.NewPCG(1, 2)), 600)
	set := &policy.Set{Revision: "1"}
	want := map[breaker.Key]map[string]float64{}
	var withNodes []breaker.Status
	for i := range statuses {
		st := statuses[i]
		set.Upstreams = append(set.Upstreams, &policy.Upstream{
			Name: st.Key.Upstream, Routes: []policy.Route{{Breaker: &policy.Breaker{Spec: breaker.Spec{Key: st.Key}}}},
		})
		want[st.Key] = scalars(&st)
		withNodes = append(withNodes, st)
		st.Key.Node = "proxy" // has no series
		withNodes = append(withNodes, st)
	}
	exported := showing(these(withNodes...))
	exported.Apply(set, typical.Start)
	for key, values := range want {
		exported.ObserveCalls(key, 1500*time.Millisecond, 1)
		exported.ObserveWholeCalls(key, 3*time.Second, 1)
		exported.ObserveTransition(breaker.Transition{Key: key, Edge: breaker.Edge{From: breaker.Open, To: breaker.Closed, Reason: breaker.Reset}, At: at(2 * time.Second)})
		maps.Copy(values, map[string]float64{
			"response_duration_seconds": 1.5, "call_seconds_total": 3, "open_duration_seconds": 2,
			"transitions_total": 1, // the sum over all edges
		})
	}
	got := map[breaker.Key]map[string]float64{}
	for _, f := range exposition.Own(t, exported) {
		for _, m := range f.GetMetric() {
			addSample(got, f.GetName(), m)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-statuses +exposition)\n%s", diff)
	}
}

// addSample adds the value, or a histogram's sum, of a breaker's metric.
func addSample(to map[breaker.Key]map[string]float64, name string, m *dto.Metric) {
	const prefix = "circuit_breaker_"
	if len(name) < len(prefix) || name[:len(prefix)] != prefix {
		return
	}
	var key breaker.Key
	for _, l := range m.GetLabel() {
		switch l.GetName() {
		case "service":
			key.Upstream = l.GetValue()
		case "route":
			key.Route = l.GetValue()
		}
	}
	if to[key] == nil {
		to[key] = map[string]float64{}
	}
	to[key][name[len(prefix):]] += m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetHistogram().GetSampleSum()
}

// TestOutliersRoundTrip: the library's parser finds in the exposition what is known of
// the endpoints, and nothing else. There are enough upstreams for many pieces, under
// names that have to be escaped.
func TestOutliersRoundTrip(t *testing.T) {
	const prefix, rate, consecutive = "breakwater_outlier_", outlier.SuccessRate, outlier.Consecutive5xxErrors
	want := map[string]float64{}
	var outliers judged
	for i := range 3000 {
		o := outlier.Status{
			Upstream: fmt.Sprintf("up\"%d\\\n", i), Endpoints: 3 + i, Ejected: make([]netip.AddrPort, i%3),
			Ejections: map[outlier.Rule]uint64{rate: 0, consecutive: uint64(i) << 40}, Detected: uint64(2 * i),
		}
		outliers = append(outliers, o)
		want["endpoints "+o.Upstream] = float64(3 + i)
		want["ejected_endpoints "+o.Upstream] = float64(i % 3)
		want["detected_total "+o.Upstream] = float64(2 * i)
		want["ejections_total "+rate.String()+" "+o.Upstream] = 0
		want["ejections_total "+consecutive.String()+" "+o.Upstream] = float64(i << 40)
	}
	got := map[string]float64{}
	for _, f := range exposition.Own(t, New(Options{Engine: these(), Clock: still{}, Outliers: outliers})) {
		sample, found := strings.CutPrefix(f.GetName(), prefix)
		for _, m := range f.GetMetric() {
			name := sample
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			if found {
				got[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-given +exposition)\n%s", diff)
	}
}
