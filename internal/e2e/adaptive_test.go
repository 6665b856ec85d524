package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// counted waits until the breaker has counted a number of calls with an outcome.
func (m *mesh) counted(t *testing.T, key, outcome string, want int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d %s are counted", want, outcome), func() error {
		c := m.breaker(t, key).Counts
		got := map[string]int{"successes": c.Successes, "failures": c.Failures, "timeouts": c.Timeouts,
			"rejected": c.Rejected, "ignored": c.Ignored}[outcome]
		if got != want {
			return fmt.Errorf("%d are counted", got)
		}
		return nil
	})
}

// rejects waits until the proxy rejects calls, with the fallback.
func (c *caller) rejects(t *testing.T, host string) {
	t.Helper()
	eventually(t, "the proxy rejects", func() error {
		r, err := c.get(t.Context(), host, "/")
		if err == nil && r.status != http.StatusServiceUnavailable {
			err = fmt.Errorf("got %d %q", r.status, r.body)
		}
		return err
	})
}

// passes waits until calls reach the service again.
func (c *caller) passes(t *testing.T, host string) {
	t.Helper()
	eventually(t, "calls pass", func() error {
		r, err := c.get(t.Context(), host, "/")
		if err == nil && r.status != http.StatusOK {
			err = fmt.Errorf("got %d %q", r.status, r.body)
		}
		return err
	})
}

// TestAdaptiveCircle shows all states of a breaker. It trips after exactly the number of failures in the policy, the proxy
// rejects calls by itself, and probes close the breaker. All calls are counted.
func TestAdaptiveCircle(t *testing.T) {
	t.Parallel()
	const run = 5
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address)+adaptive("payments",
		"breaker: {consecutiveFailures: 5, failureRateThreshold: 0%, waitDurationInOpenState: 2s, successThreshold: 2}",
		"fallback: {response: {status: 503, contentType: application/json, body: '{\"sorry\": \"100%\"}', headers: {X-Reason: 'a %b c'}}}"))
	for range 7 {
		m.must(t, "payments", http.StatusOK)
	}
	m.counted(t, "payments", "successes", 7)
	u.behave(answer(http.StatusBadGateway))
	for i := range run - 1 {
		m.must(t, "payments", http.StatusBadGateway)
		m.counted(t, "payments", "failures", i+1)
	}
	if got := m.breaker(t, "payments").State; got != "closed" {
		t.Fatalf("the breaker is %s after %d failures, want closed", got, run-1)
	}
	m.must(t, "payments", http.StatusBadGateway)
	m.state(t, "payments", "open")
	m.rejects(t, "payments")
	if h := m.history(t, "payments"); h.Trip == nil || h.Trip.Reason != "consecutive_failures" || h.Trip.Window.Run != run || h.Trip.Window.Calls != 12 {
		t.Errorf("the breaker tripped by %+v, want a run of %d failures among 12 calls", h.Trip, run)
	}
	reached := u.calls.Load()
	before := m.breaker(t, "payments").Counts.Rejected
	for range 20 {
		r := m.must(t, "payments", http.StatusServiceUnavailable)
		if r.body != `{"sorry": "100%"}` || r.header.Get("Content-Type") != "application/json" || r.header.Get("X-Reason") != "a %b c" {
			t.Fatalf("got %q %v, want the fallback of the policy", r.body, r.header)
		}
	}
	if got := u.calls.Load(); got != reached {
		t.Errorf("%d calls reached the upstream of an open breaker", got-reached)
	}
	eventually(t, "rejected calls are counted", func() error {
		if got := m.breaker(t, "payments").Counts.Rejected - before; got < 20 {
			return fmt.Errorf("%d of 20 are counted", got)
		}
		return nil
	})

	u.behave(answer(http.StatusOK))
	m.state(t, "payments", "half_open")
	m.passes(t, "payments")
	m.passes(t, "payments")
	m.state(t, "payments", "closed")
	for range 20 {
		m.passes(t, "payments")
	}
	if got := m.metric(t, `breakwater_gate_propagation_seconds_count`); got < 3 {
		t.Errorf("%v changes of state reached the proxy, want 3 or more", got)
	}
}

// TestAdaptiveFailures shows that a breaker trips by every kind of failure, and that timeouts are counted apart.
func TestAdaptiveFailures(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name     string
		fields   []string
		fail     func(*upstream)
		status   int
		timeouts int
	}{
		{name: "status", fail: func(u *upstream) { u.behave(answer(500)) }, status: 500},
		{name: "status of the policy", fields: []string{"classify: {failure: {statusCodes: [\"429\"]}}"},
			fail: func(u *upstream) { u.behave(answer(429)) }, status: 429},
		{name: "timeout", fields: []string{"timeout: 1s"}, fail: func(u *upstream) { u.behave(hang) }, status: 504, timeouts: 3},
		{name: "refused", fail: func(u *upstream) { u.stop() }, status: 503},
		{name: "reset", fail: func(u *upstream) { u.behave(reset) }, status: 503},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ip := ownIP(t)
			u := newUpstream(t, ip)
			m := newMesh(t, ip, service("payments", u.address)+adaptive("payments", append(c.fields,
				"breaker: {consecutiveFailures: 3, failureRateThreshold: 0%, waitDurationInOpenState: 1h}")...))
			m.must(t, "payments", http.StatusOK)
			c.fail(u)
			for i := range 3 {
				m.must(t, "payments", c.status)
				m.counted(t, "payments", "failures", i+1)
			}
			m.state(t, "payments", "open")
			m.rejects(t, "payments")
			if got := m.breaker(t, "payments").Counts; got.Failures != 3 || got.Timeouts != c.timeouts || got.Successes != 1 {
				t.Errorf("the counts are %+v, want 1 success, 3 failures and %d timeouts", got, c.timeouts)
			}
		})
	}
}

// TestAdaptiveIgnores shows that calls whose result is not the upstream's fault do not trip a breaker.
func TestAdaptiveIgnores(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address)+adaptive("payments",
		"breaker: {consecutiveFailures: 1, waitDurationInOpenState: 1h}"))
	u.behave(hang)
	const gone = 5
	for i := range gone {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = m.get(ctx, "payments", "/") }) // returns an error, because the caller leaves
		eventually(t, "the call has arrived", func() error {
			if n := u.calls.Load(); n != int64(i+1) {
				return fmt.Errorf("%d calls have arrived", n)
			}
			return nil
		})
		cancel()
		wg.Wait()
	}
	m.counted(t, "payments", "ignored", gone)
	u.behave(answer(http.StatusNotFound))
	m.must(t, "payments", http.StatusNotFound)
	m.counted(t, "payments", "successes", 1)
	if s := m.breaker(t, "payments"); s.State != "closed" || s.Counts.Failures != 0 {
		t.Errorf("the breaker is %+v, want closed and no failure", s)
	}
}

// blend returns a handler that fails a share of the calls, at random.
func blend(share float64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if rand.Float64() < share {
			answer(http.StatusInternalServerError)(w, r)
			return
		}
		answer(http.StatusOK)(w, r)
	}
}

// TestAdaptiveBusy shows a busy upstream. Only a few of its successes are logged, so failures seem to come in runs. They do
// not trip the breaker while they are few. When most calls fail, all are logged for a while, and five that fail in a row
// trip it.
func TestAdaptiveBusy(t *testing.T) {
	t.Parallel()
	const calls = 60_000
	ip := ownIP(t)
	u := newUpstream(t, ip)
	u.behave(blend(0.01))
	m := newMesh(t, ip, service("payments", u.address)+adaptive("payments",
		"breaker: {consecutiveFailures: 5, failureRateThreshold: 50%, minimumNumberOfCalls: 100, waitDurationInOpenState: 1h}"))
	made := busy(t, calls, "payments", m.caller)
	if s := m.breaker(t, "payments"); s.State != "closed" || m.history(t, "payments").Trip != nil {
		t.Fatalf("the breaker is %+v after 1 %% failures, tripped by %+v; want closed", s, m.history(t, "payments").Trip)
	}
	entries := m.metric(t, `breakwater_feed_entries_total{result="reported"}`)
	if entries > calls/2 {
		t.Errorf("%v of %d calls were logged, want a sample", entries, made.Load())
	}
	// The number of all calls is estimated from the logged successes. After the first second these are about 60 or more,
	// which gives an error of 13 % (one standard deviation).
	got, want := float64(m.breaker(t, "payments").Counts.Requests), float64(made.Load())
	if got < want*0.4 || got > want*1.6 {
		t.Errorf("%v calls are counted, and %v were made", got, want)
	}
	u.behave(blend(0.6))
	m.state(t, "payments", "open")
	if trip := m.history(t, "payments").Trip; trip.Reason != "consecutive_failures" || trip.Window.Run < 5 {
		t.Errorf("the breaker tripped by %+v, want a run of failures", trip)
	}
	m.rejects(t, "payments")
}

// busy makes calls through proxies until the test ends. It returns when there were n of them.
func busy(t *testing.T, n int64, host string, proxies ...*caller) (made *atomic.Int64) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	t.Cleanup(func() { stop(); wg.Wait() })
	made = &atomic.Int64{}
	for i := range 32 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := proxies[i%len(proxies)].get(ctx, host, "/"); err == nil {
					made.Add(1)
				}
			}
		})
	}
	began := time.Now()
	for next := int64(1_000); next <= n; next += 1_000 { // a slow machine may need any number of seconds for all calls
		eventually(t, "calls are made", func() error {
			if n := made.Load(); n < next {
				return fmt.Errorf("%d of %d calls are made", n, next)
			}
			return nil
		})
	}
	t.Logf("%.0f calls/s", float64(n)/time.Since(began).Seconds())
	return made
}

// fleet starts more proxies, and returns all n proxies of the mesh.
func (m *mesh) fleet(t *testing.T, n int) []*caller {
	t.Helper()
	proxies := []*caller{m.caller}
	for i := 1; i < n; i++ {
		proxies = append(proxies, m.startProxy(t, fmt.Sprintf("shop-%d", i+1)))
	}
	return proxies
}

// TestAdaptiveHalfOpenOverFourProxies shows that four proxies under load together have no more requests in flight than there
// are permits.
func TestAdaptiveHalfOpenOverFourProxies(t *testing.T) {
	t.Parallel()
	const permitted, enough = 2, 200
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address)+adaptive("payments",
		"breaker: {consecutiveFailures: 1, failureRateThreshold: 0%, waitDurationInOpenState: 1s, "+
			"permittedNumberOfCallsInHalfOpenState: 2, successThreshold: 300, maxWaitDurationInHalfOpenState: 1h}"))
	proxies := m.fleet(t, 4)
	u.behave(answer(http.StatusInternalServerError))
	m.must(t, "payments", http.StatusInternalServerError)
	for _, p := range proxies {
		p.rejects(t, "payments")
	}
	m.state(t, "payments", "half_open")
	u.most.Store(0)
	before := u.calls.Load()
	u.behave(late(2 * time.Millisecond))
	var wg sync.WaitGroup
	for _, p := range proxies {
		for range 8 {
			wg.Go(func() {
				for u.calls.Load()-before < enough {
					_, _ = p.get(t.Context(), "payments", "/") // other tests check the response
				}
			})
		}
	}
	wg.Wait()
	if got := m.breaker(t, "payments").State; got != "half_open" {
		t.Fatalf("the breaker is %s, want half_open: the test did not measure half-open alone", got)
	}
	if most := u.most.Load(); most != permitted {
		t.Errorf("%d requests were in flight at once, want %d", most, permitted)
	}
}

// TestAdaptiveRamp shows that proxies reject a share of the calls after the breaker has closed, and that the share becomes
// smaller.
func TestAdaptiveRamp(t *testing.T) {
	t.Parallel()
	const calls = 300
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address)+adaptive("payments", ramped("1h")))
	u.behave(answer(http.StatusInternalServerError))
	m.must(t, "payments", http.StatusInternalServerError)
	m.rejects(t, "payments")
	u.behave(answer(http.StatusOK))
	m.state(t, "payments", "half_open")
	m.passes(t, "payments")
	m.state(t, "payments", "closed")
	m.rejects(t, "payments")
	admitted := 0
	for range calls {
		r, err := m.get(t.Context(), "payments", "/")
		if err != nil {
			t.Fatal(err)
		}
		if r.status == http.StatusOK {
			admitted++
		}
	}
	// The share at the beginning is a tenth; TestRamp explains the limits.
	if admitted < 5 || admitted > 100 {
		t.Errorf("%d of %d calls were admitted, want about a tenth", admitted, calls)
	}
	m.write(t, "policy.yaml", service("payments", u.address)+adaptive("payments", ramped("2s")))
	m.passes(t, "payments")
}

// TestAdaptiveSwitch changes the data path again and again under load. No call fails.
func TestAdaptiveSwitch(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	inline, without := service("payments", u.address)+guard("payments"), service("payments", u.address)+adaptive("payments")
	m := newMesh(t, ip, inline)
	revision := m.revision(t, "")
	l := m.load(t, 8)
	for i := range 10 {
		l.more(t, 200)
		m.write(t, "policy.yaml", []string{without, inline}[i%2])
		revision = m.revision(t, revision)
	}
	l.more(t, 500)
	l.clean(t)
	if s := m.breaker(t, "payments"); s.State != "closed" || s.Counts.Failures != 0 {
		t.Errorf("the breaker is %+v, want closed and no failure", s)
	}
}

// TestAdaptiveSwitchKeepsOpen shows that an open breaker stays open when its data path changes.
func TestAdaptiveSwitchKeepsOpen(t *testing.T) {
	t.Parallel()
	const once = "breaker: {consecutiveFailures: 1, failureRateThreshold: 0%, waitDurationInOpenState: 1h}"
	ip := ownIP(t)
	u := newUpstream(t, ip)
	inline, without := service("payments", u.address)+guard("payments", once), service("payments", u.address)+adaptive("payments", once)
	m := newMesh(t, ip, inline)
	u.behave(answer(http.StatusInternalServerError))
	m.must(t, "payments", http.StatusInternalServerError)
	reached := u.calls.Load()
	revision := m.revision(t, "")
	for i := range 6 {
		m.write(t, "policy.yaml", []string{without, inline}[i%2])
		revision = m.revision(t, revision)
		for range 100 {
			m.must(t, "payments", http.StatusServiceUnavailable)
		}
	}
	if n := u.calls.Load() - reached; n != int64(m.passed) {
		t.Errorf("%d calls reached the upstream of an open breaker, and %d passed without a decision", n, m.passed)
	}
}

// TestAdaptiveScopeNode shows that each proxy has its own gate when the scope is Node.
func TestAdaptiveScopeNode(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	u.behave(partial)
	m := newMesh(t, ip, service("payments", u.address)+adaptive("payments", "scope: Node",
		"breaker: {consecutiveFailures: 3, failureRateThreshold: 0%, waitDurationInOpenState: 1h}"))
	other := m.startProxy(t, "shop-2")
	other.failing(t, 2)
	m.failing(t, 3)
	m.rejects(t, "payments")
	for range 20 {
		other.must(t, "payments", http.StatusOK)
		m.must(t, "payments", http.StatusServiceUnavailable)
	}
}

// TestAdaptiveMetricsOnly shows that a breaker with mode MetricsOnly rejects no calls, and counts the calls that it would
// have rejected.
func TestAdaptiveMetricsOnly(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address)+adaptive("payments", "mode: MetricsOnly",
		"breaker: {consecutiveFailures: 2, failureRateThreshold: 0%, waitDurationInOpenState: 3s, successThreshold: 2}"))
	u.behave(answer(http.StatusInternalServerError))
	for range 2 {
		m.must(t, "payments", http.StatusInternalServerError)
	}
	m.state(t, "payments", "open")
	u.behave(answer(http.StatusOK))
	for range 10 {
		m.must(t, "payments", http.StatusOK)
	}
	m.counted(t, "payments", "successes", 10)
	if got := m.metric(t, `circuit_breaker_would_reject_total{route="",service="payments"}`); got != 10 {
		t.Errorf("the breaker would have rejected %v calls, want 10", got)
	}
	m.state(t, "payments", "half_open")
	m.must(t, "payments", http.StatusOK)
	m.must(t, "payments", http.StatusOK)
	m.state(t, "payments", "closed")
}

// TestAdaptiveForced shows that a change by hand is in force in the proxies too.
func TestAdaptiveForced(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	o := newOperated(t, ip, service("payments", u.address)+adaptive("payments"))
	o.must(t, "payments", http.StatusOK)
	o.force(t, "force", "payments", "open", "--for", "1h")
	o.rejects(t, "payments")
	o.force(t, "reset", "payments")
	o.passes(t, "payments")
	if got := u.calls.Load(); got < 2 {
		t.Errorf("%d calls reached the upstream, want 2 or more", got)
	}
}
