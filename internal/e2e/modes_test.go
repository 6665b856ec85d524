package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// twins are two upstreams with the same policy, except that payments has the mode Enforce and shadow has the mode MetricsOnly.
// Both always get the same calls.
type twins struct {
	*mesh
	payments, shadow *upstream
}

func newTwins(t *testing.T, breakerFields string) *twins {
	t.Helper()
	ip := ownIP(t)
	w := &twins{payments: newUpstream(t, ip), shadow: newUpstream(t, ip)}
	w.mesh = newMesh(t, ip, service("payments", w.payments.address)+guard("payments", breakerFields)+
		service("shadow", w.shadow.address)+guard("shadow", "mode: MetricsOnly", breakerFields))
	return w
}

func (w *twins) behave(h http.HandlerFunc) {
	w.payments.behave(h)
	w.shadow.behave(h)
}

func (w *twins) states(t *testing.T, want string) {
	t.Helper()
	w.state(t, "payments", want)
	w.state(t, "shadow", want)
}

// call sends one call to each. If the enforcing breaker rejects its call, the other breaker must admit its call, and count it
// as one that it would have rejected.
func (w *twins) call(t *testing.T, upstream int) (rejected bool) {
	t.Helper()
	before := w.wouldReject(t)
	enforced, err := w.get(t.Context(), "payments", "/")
	if err != nil {
		t.Fatal(err)
	}
	rejected = enforced.header.Get("retry-after") != ""
	w.must(t, "shadow", upstream)
	want := before
	if rejected {
		want++
	}
	if got := w.wouldReject(t); got != want {
		t.Fatalf("the enforcing breaker answered %d; the other one would have rejected %v calls, want %v", enforced.status, got, want)
	}
	return rejected
}

func (w *twins) wouldReject(t *testing.T) float64 {
	t.Helper()
	return w.metric(t, `circuit_breaker_would_reject_total{route="",service="shadow"}`)
}

// TestMetricsOnly shows that all calls pass a breaker with mode MetricsOnly, and that it counts exactly the calls that it would
// have rejected.
func TestMetricsOnly(t *testing.T) {
	t.Parallel()
	w := newTwins(t, "breaker: {consecutiveFailures: 3, failureRateThreshold: 0%, waitDurationInOpenState: 1h}")
	calls, rejected := 0, 0
	for _, status := range []int{200, 500, 500, 200, 500, 500, 500, 500, 200, 200, 500, 200} {
		w.behave(answer(status))
		calls++
		if w.call(t, status) {
			rejected++
		}
		w.settled(t, "payments", "shadow")
	}
	if rejected != 5 {
		t.Errorf("%d calls were rejected, want the 5 after the third failure in a row", rejected)
	}
	if got := w.shadow.calls.Load(); got != int64(calls) {
		t.Errorf("%d of %d calls passed the breaker with mode MetricsOnly", got, calls)
	}
	s := w.breaker(t, "shadow")
	if s.State != "open" || s.Counts.Rejected != 0 || s.Counts.Requests != calls {
		t.Errorf("the breaker is %+v, want open with %d requests, none of them rejected", s, calls)
	}
	w.transition(t, "shadow", "closed", "consecutive_failures", "open")
	if got := w.metric(t, `circuit_breaker_would_reject_total{route="",service="payments"}`); got != 0 {
		t.Errorf("the enforcing breaker counts %v calls that it would have rejected", got)
	}
}

// TestMetricsOnlyRecovers shows that a breaker with mode MetricsOnly also admits calls beside the permitted probe, and that only
// the probe closes it.
func TestMetricsOnlyRecovers(t *testing.T) {
	t.Parallel()
	w := newTwins(t, "breaker: {consecutiveFailures: 1, failureRateThreshold: 0%, slowCallRateThreshold: 0%, waitDurationInOpenState: 300ms, "+
		"permittedNumberOfCallsInHalfOpenState: 1, successThreshold: 1, maxWaitDurationInHalfOpenState: 1h}")
	w.behave(answer(http.StatusInternalServerError))
	for _, host := range []string{"payments", "shadow"} {
		w.must(t, host, http.StatusInternalServerError)
	}
	w.states(t, "half_open")

	g := turnstile{release: make(chan int)}
	w.behave(g.handle)
	var probes sync.WaitGroup
	for _, host := range []string{"payments", "shadow"} {
		probes.Go(func() {
			if r, err := w.get(t.Context(), host, "/"); err != nil || r.status != http.StatusOK {
				t.Errorf("the probe of %s: %d, %v", host, r.status, err)
			}
		})
	}
	eventually(t, "a probe of each in flight", func() error {
		if p, s := w.payments.inFlight.Load(), w.shadow.inFlight.Load(); p != 1 || s != 1 {
			return fmt.Errorf("%d and %d are in flight", p, s)
		}
		return nil
	})
	w.behave(answer(http.StatusOK))
	before := w.wouldReject(t)
	for range 5 {
		w.must(t, "payments", http.StatusServiceUnavailable)
		w.must(t, "shadow", http.StatusOK)
	}
	if got := w.wouldReject(t) - before; got != 5 {
		t.Errorf("%v calls beside the probe would have been rejected, want 5", got)
	}
	for _, host := range []string{"payments", "shadow"} {
		if got := w.breaker(t, host).State; got != "half_open" {
			t.Errorf("%s is %s before its probe has ended", host, got)
		}
	}
	g.release <- http.StatusOK
	g.release <- http.StatusOK
	probes.Wait()
	w.states(t, "closed")
	w.transition(t, "shadow", "half_open", "probes_succeeded", "closed")
}

// transition waits until a change of state has been counted, once.
func (m *mesh) transition(t *testing.T, upstream, from, reason, to string) {
	t.Helper()
	series := fmt.Sprintf(`circuit_breaker_transitions_total{from=%q,reason=%q,route="",service=%q,to=%q}`, from, reason, upstream, to)
	eventually(t, series+" 1", func() error {
		got, err := m.tryMetric(series)
		if err == nil && got != 1 {
			err = fmt.Errorf("the metric is %v", got)
		}
		return err
	})
}

// TestForcedOpen shows that a breaker with mode ForcedOpen rejects every call from the first one on, without a header
// retry-after.
func TestForcedOpen(t *testing.T) {
	t.Parallel()
	const calls = 200
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address)+guard("payments", "mode: ForcedOpen",
		"fallback: {response: {status: 503, contentType: text/plain, body: closed by policy}}"))
	for range calls {
		r := m.must(t, "payments", http.StatusServiceUnavailable)
		if after, given := r.header["Retry-After"]; given || r.body != "closed by policy" {
			t.Fatalf("got %q with retry-after %q, want the fallback without retry-after", r.body, after)
		}
	}
	if got := int(u.calls.Load()); got != m.passed {
		t.Errorf("%d calls reached the upstream, and %d passed without a decision", got, m.passed)
	}
	s := m.breaker(t, "payments")
	if s.State != "open" || s.Counts.Rejected < calls || s.Counts.Rejected > calls+m.passed {
		t.Errorf("the breaker is %+v, want open with %d rejected calls, and at most the %d that passed without a decision", s, calls, m.passed)
	}
}

// TestDisabled shows that the proxy does not ask about calls of a breaker with mode Disabled, and that no call is rejected.
func TestDisabled(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address)+guard("payments", "mode: Disabled", "breaker: {consecutiveFailures: 1}")+
		service("stock", u.address)+guard("stock"))
	u.behave(answer(http.StatusInternalServerError))
	for range 20 {
		m.must(t, "payments", http.StatusInternalServerError)
	}
	if s := m.breaker(t, "payments"); s.State != "closed" || s.Counts.Requests != 0 {
		t.Errorf("the breaker is %+v, want closed without a request", s)
	}
	streams := func() string {
		t.Helper()
		stats, err := fetch("http://" + m.ip + ":9901/stats?usedonly&filter=ext_proc.*streams_started")
		if err != nil {
			t.Fatal(err)
		}
		return stats
	}
	if got := streams(); strings.Contains(got, "streams_started: ") {
		t.Errorf("the proxy asked the control plane: %s", got)
	}
	m.must(t, "stock", http.StatusInternalServerError)
	if got := streams(); !strings.Contains(got, "streams_started: 1\n") {
		t.Errorf("the proxy did not ask about a call of another breaker: %q", got)
	}
}

// TestModesUnderTraffic changes the mode by editing the policy under load.
func TestModesUnderTraffic(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	in := func(mode string) string {
		return service("payments", u.address) + guard("payments", "mode: "+mode, "breaker: {consecutiveFailures: 1}")
	}
	m := newMesh(t, ip, in("Enforce"))
	revision := m.revision(t, "")
	become := func(mode string) {
		t.Helper()
		m.write(t, "policy.yaml", in(mode))
		revision = m.revision(t, revision)
	}
	admits := []string{"MetricsOnly", "Disabled", "Enforce", "Disabled", "MetricsOnly", "Enforce"}
	l := m.load(t, 8)
	for _, mode := range admits {
		become(mode)
		l.more(t, 100)
	}
	l.clean(t)

	for _, mode := range admits[:3] {
		become("ForcedOpen")
		m.everywhere(t, "payments", http.StatusServiceUnavailable)
		reached, passed := int(u.calls.Load()), m.passed
		for range 50 {
			m.must(t, "payments", http.StatusServiceUnavailable)
		}
		if got := int(u.calls.Load()) - reached; got != m.passed-passed {
			t.Errorf("%d calls reached the upstream of a breaker that is forced open, and %d passed without a decision", got, m.passed-passed)
		}
		become(mode)
		m.everywhere(t, "payments", http.StatusOK)
		l := m.load(t, 8)
		l.more(t, 100)
		l.clean(t)
	}
}

// everywhere waits until both workers of the proxy answer calls to host with a status. The workers get new routes one after
// the other, and a connection belongs to one worker.
func (m *mesh) everywhere(t *testing.T, host string, status int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d from every worker", status), func() error {
		for range 20 {
			r, err := m.once(t, host)
			if err == nil && r.status != status {
				err = errors.New(http.StatusText(r.status))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// once sends one GET over a connection of its own, which may belong to any worker.
func (m *mesh) once(t *testing.T, host string) (reply, error) {
	t.Helper()
	c := &caller{client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, egress: m.egress}
	return c.get(t.Context(), host, "/")
}
