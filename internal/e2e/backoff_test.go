package e2e

import (
	"errors"
	"net/http"
	"testing"
	"time"
)

// TestBackoff shows that the wait doubles, up to its limit, each time that a failed probe opens the breaker again.
func TestBackoff(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address)+guard("payments",
		"breaker: {consecutiveFailures: 1, failureRateThreshold: 0%, waitDurationInOpenState: 100ms, "+
			"backoff: {multiplier: 2, max: 350ms}, maxWaitDurationInHalfOpenState: 1h, successThreshold: 1}"))
	u.behave(answer(http.StatusInternalServerError))
	sequence := 0
	for i, want := range []time.Duration{100, 200, 350, 350} {
		m.must(t, "payments", http.StatusInternalServerError)
		trip := m.tripAfter(t, "payments", sequence)
		sequence = trip.Sequence
		if wait, err := time.ParseDuration(trip.Wait); err != nil || wait != want*time.Millisecond {
			t.Errorf("opening %d lasts %q, want %s", i+1, trip.Wait, want*time.Millisecond)
		}
		m.state(t, "payments", "half_open")
	}
	u.behave(answer(http.StatusOK))
	m.must(t, "payments", http.StatusOK)
	m.state(t, "payments", "closed")
}

// tripped has the fields of a breaker's last trip that tests need.
type tripped struct {
	Sequence     int
	Reason, Wait string
}

// tripAfter waits for a trip of the breaker whose sequence is above the given one.
func (m *mesh) tripAfter(t *testing.T, key string, sequence int) tripped {
	t.Helper()
	var trip tripped
	eventually(t, "a trip of "+key, func() error {
		if trip = m.breaker(t, key).Trip; trip.Sequence <= sequence {
			return errors.New("there is none")
		}
		return nil
	})
	return trip
}
