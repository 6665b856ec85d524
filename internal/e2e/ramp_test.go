package e2e

import (
	"fmt"
	"net/http"
	"testing"
)

// closeAgain trips the breaker of payments and lets a probe close it.
func closeAgain(t *testing.T, m *mesh, u *upstream) {
	t.Helper()
	trip(t, m, u)
	m.state(t, "payments", "half_open")
	u.behave(answer(http.StatusOK))
	m.must(t, "payments", http.StatusOK)
	m.state(t, "payments", "closed")
}

// ramped returns a breaker that closes at the first success, and then admits a growing share of the calls for a duration.
func ramped(duration string) string {
	return "breaker: {consecutiveFailures: 1, failureRateThreshold: 0%, waitDurationInOpenState: 100ms, " +
		"maxWaitDurationInHalfOpenState: 1h, successThreshold: 1, ramp: {duration: " + duration + "}}"
}

// TestRamp shows that a breaker that has just closed admits a share of the calls.
func TestRamp(t *testing.T) {
	t.Parallel()
	const calls = 300
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address)+guard("payments", ramped("1h")))
	closeAgain(t, m, u)
	reached := u.calls.Load()
	admitted := 0
	for range calls {
		r, err := m.get(t.Context(), "payments", "/")
		if err != nil {
			t.Fatal(err)
		}
		if r.status == http.StatusOK {
			admitted++
		} else if after, given := r.header["Retry-After"]; given || r.status != http.StatusServiceUnavailable {
			t.Fatalf("got %d with retry-after %q, want the fallback without retry-after", r.status, after)
		}
	}
	// The share is a tenth at the beginning of the ramp of an hour. Fewer than 5 or more than 100 of 300 calls are admitted
	// by chance less than once in a hundred million runs.
	if admitted < 5 || admitted > 100 {
		t.Errorf("%d of %d calls were admitted, want about a tenth", admitted, calls)
	}
	if got := u.calls.Load() - reached; got != int64(admitted) {
		t.Errorf("%d calls reached the upstream, want the %d that were admitted", got, admitted)
	}
	if s := m.breaker(t, "payments"); s.State != "closed" || s.Counts.Rejected != calls-admitted {
		t.Errorf("the breaker is %+v, want closed with %d rejected calls", s, calls-admitted)
	}
}

// TestRampEnds shows that every call is admitted after the ramp.
func TestRampEnds(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address)+guard("payments", ramped("500ms")))
	closeAgain(t, m, u)
	eventually(t, "50 calls in a row are admitted", func() error {
		for i := range 50 {
			r, err := m.get(t.Context(), "payments", "/")
			if err == nil && r.status != http.StatusOK {
				err = fmt.Errorf("call %d got %d", i, r.status)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	for range 200 {
		m.must(t, "payments", http.StatusOK)
	}
}
