package e2e

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"
)

// TestTrip shows that a breaker notices every kind of failure, and goes through all its states: closed, open without a single
// call that passes, half-open, and closed again.
func TestTrip(t *testing.T) {
	t.Parallel()
	const run = "breaker: {consecutiveFailures: 3, failureRateThreshold: 0%, waitDurationInOpenState: 4s, successThreshold: 2}"
	cases := []struct {
		name      string
		policy    []string
		fail      func(*upstream)
		recover   func(*testing.T, *upstream)
		status    int // the status of the failed calls
		successes int // calls that succeed before the failures
		failures  int
		reason    string
	}{
		{name: "consecutive failures", policy: []string{run}, status: 500, successes: 7, failures: 3,
			fail: func(u *upstream) { u.behave(answer(500)) }, reason: "consecutive_failures"},
		{name: "failure rate", policy: []string{
			"breaker: {consecutiveFailures: 0, failureRateThreshold: 50%, minimumNumberOfCalls: 12, waitDurationInOpenState: 4s, successThreshold: 2, slidingWindow: {type: TimeBased, duration: 60s}}"},
			fail: func(u *upstream) { u.behave(answer(503)) }, status: 503, successes: 6, failures: 6, reason: "failure_rate"},
		{name: "timeout", policy: []string{"timeout: 1s", run}, status: 504, successes: 1, failures: 3,
			fail: func(u *upstream) { u.behave(hang) }, reason: "consecutive_failures"},
		{name: "connection refused", policy: []string{run}, status: 503, failures: 3,
			fail: func(u *upstream) { u.stop() }, recover: func(t *testing.T, u *upstream) { u.restart(t) },
			reason: "consecutive_failures"},
		{name: "connection reset", policy: []string{run}, status: 503, successes: 1, failures: 3,
			fail: func(u *upstream) { u.behave(reset) }, reason: "consecutive_failures"},
		// The proxy answers 503, which is not in the list of status codes. The call is a failure because the service did not
		// answer.
		{name: "connection refused is no status code", status: 503, failures: 3,
			policy: []string{run, "classify: {failure: {statusCodes: [\"500\"]}}"},
			fail:   func(u *upstream) { u.stop() }, recover: func(t *testing.T, u *upstream) { u.restart(t) },
			reason: "consecutive_failures"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ip := ownIP(t)
			u, other := newUpstream(t, ip), newUpstream(t, ip)
			m := newMesh(t, ip, service("payments", u.address)+guard("payments", c.policy...)+
				service("stock", other.address)+guard("stock"))
			for range c.successes {
				m.must(t, "payments", http.StatusOK)
			}
			m.settled(t, "payments")
			c.fail(u)
			for range c.failures {
				m.must(t, "payments", c.status)
			}
			tripped := time.Now()
			checkRejected(t, m, u, tripped)
			series := fmt.Sprintf(`circuit_breaker_transitions_total{from="closed",reason=%q,route="",service="payments",to="open"}`, c.reason)
			if got := m.metric(t, series); got != 1 {
				t.Errorf("%s = %v, want 1", series, got)
			}
			if c.name == "timeout" {
				if got := m.metric(t, `circuit_breaker_timeouts_total{route="",service="payments"}`); got != 3 {
					t.Errorf("timeouts = %v, want 3", got)
				}
			}
			m.must(t, "stock", http.StatusOK)

			u.behave(answer(http.StatusOK))
			if c.recover != nil {
				c.recover(t, u)
			}
			m.state(t, "payments", "half_open")
			m.must(t, "payments", http.StatusOK)
			m.must(t, "payments", http.StatusOK)
			m.state(t, "payments", "closed")
			m.must(t, "payments", http.StatusOK)
		})
	}
}

// checkRejected makes calls during a part of the 4 s that the breaker is open. Each must be rejected with the default fallback,
// and none must reach the upstream.
func checkRejected(t *testing.T, m *mesh, u *upstream, tripped time.Time) {
	t.Helper()
	reached := u.calls.Load()
	rejected := 0
	for time.Since(tripped) < 800*time.Millisecond || rejected < 10 {
		r, err := m.get(t.Context(), "payments", "/")
		if err != nil {
			t.Fatal(err)
		}
		if time.Since(tripped) > 3900*time.Millisecond {
			t.Fatalf("after %d rejected calls the wait has ended, because the machine is too busy", rejected)
		}
		if r.status != http.StatusServiceUnavailable {
			t.Fatalf("call %d was not rejected: %+v", rejected, r)
		}
		after, err := strconv.Atoi(r.header.Get("retry-after"))
		if err != nil || after < 1 || after > 4 {
			t.Fatalf("retry-after = %q, want 1 to 4", r.header.Get("retry-after"))
		}
		if got := u.calls.Load(); got != reached {
			t.Fatalf("%d requests reached the upstream while the breaker was open", got-reached)
		}
		rejected++
	}
}
