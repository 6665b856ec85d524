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

// ramped closes again at the first success, and then admits a growing share for so long.
func ramped(duration string) string {
	return "breaker: {consecutiveFailures: 1, failureRateThreshold: 0%, waitDurationInOpenState: 100ms, " +
		"maxWaitDurationInHalfOpenState: 1h, successThreshold: 1, ramp: {duration: " + duration + "}}"
}

// TestRamp: a breaker that has just closed admits some calls and not all.
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
		} else if after, told := r.header["Retry-After"]; told || r.status != http.StatusServiceUnavailable {
			t.Fatalf("got %d with retry-after %q, want the fallback and no promise", r.status, after)
		}
	}
	// A tenth at the beginning of an hour. That fewer than 5 of 300 are let in, or more
	// than 100, happens by chance less than once in a hundred million times.
	if admitted < 5 || admitted > 100 {
		t.Errorf("%d of %d calls were admitted, want about a tenth", admitted, calls)
	}
	if got := u.calls.Load() - reached; got != int64(admitted) {
		t.Errorf("%d calls reached the upstream, and %d were admitted", got, admitted)
	}
	if s := m.breaker(t, "payments"); s.State != "closed" || s.Counts.Rejected != calls-admitted {
		t.Errorf("%+v, want closed and %d rejected", s, calls-admitted)
	}
}

// TestRampEnds: when it is over, every call is admitted.
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
				err = fmt.Errorf("call %d: %d", i, r.status)
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
