package e2e

import (
	"net/http"
	"testing"
)

// TestCountBasedWindow shows that a count-based window has the last calls, however old they are, and no others.
func TestCountBasedWindow(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address)+guard("payments",
		"breaker: {consecutiveFailures: 0, failureRateThreshold: 50%, slowCallRateThreshold: 0%, minimumNumberOfCalls: 10, "+
			"slidingWindow: {type: CountBased, size: 10}, waitDurationInOpenState: 1h}"))
	calls := func(n, status int) {
		t.Helper()
		u.behave(answer(status))
		for range n {
			m.must(t, "payments", status)
		}
		if got := m.breaker(t, "payments").State; got != "closed" {
			t.Fatalf("after %d more calls with status %d the breaker is %s", n, status, got)
		}
	}
	calls(6, http.StatusInternalServerError) // fewer than the minimum
	calls(3, http.StatusOK)                  // nine calls are still fewer
	u.behave(answer(http.StatusOK))
	m.must(t, "payments", http.StatusOK) // the tenth call; 60 % of them have failed
	m.state(t, "payments", "open")       // a success counts when its call has ended

	revision := m.revision(t, "")
	m.write(t, "policy.yaml", service("payments", u.address)+guard("payments",
		"breaker: {consecutiveFailures: 0, failureRateThreshold: 50%, slowCallRateThreshold: 0%, minimumNumberOfCalls: 10, "+
			"slidingWindow: {type: CountBased, size: 12}, waitDurationInOpenState: 1h}"))
	m.revision(t, revision)
	m.state(t, "payments", "closed") // other rules restart the breaker
	calls(12, http.StatusOK)
	calls(5, http.StatusInternalServerError)
	calls(12, http.StatusOK) // the failures have left the window
	calls(5, http.StatusInternalServerError)
	m.must(t, "payments", http.StatusInternalServerError) // 6 of the last 12 calls have failed
	m.must(t, "payments", http.StatusServiceUnavailable)
	if got := m.breaker(t, "payments").State; got != "open" {
		t.Errorf("6 of the last 12 calls failed, and the breaker is %s", got)
	}
	if got := u.calls.Load() - int64(m.passed); got != 10+12+5+12+6 {
		t.Errorf("%d calls reached the upstream, want 45; %d others passed without a decision", got, m.passed)
	}
}
