package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestProbesThatAreSentToNobody say nothing of the service: while no endpoint is in rotation, half-open lasts, its
// callers get the fallback, and the wait does not grow. It closes as soon as there is an endpoint.
func TestProbesThatAreSentToNobody(t *testing.T) {
	eachPath(t, func(t *testing.T, dataPath string) {
		ip := ownIP(t)
		u := newUpstream(t, ip)
		m := newMesh(t, ip, service("payments", u.address, "healthCheck: {path: /healthz, interval: 500ms, timeout: 250ms, unhealthyThreshold: 1, healthyThreshold: 1}")+
			policyFor("payments", dataPath, "fallback: {response: {status: 200, body: instead}}",
				"breaker: {consecutiveFailures: 3, waitDurationInOpenState: 1s, backoff: {multiplier: 3}, successThreshold: 1}"))
		m.must(t, "payments", http.StatusOK)
		u.behave(answer(http.StatusServiceUnavailable))
		eventually(t, "no endpoint is healthy", func() error {
			r, err := m.get(t.Context(), "payments", "/")
			if err == nil && r.body != "instead" && !strings.Contains(r.body, "no healthy upstream") {
				err = fmt.Errorf("got %d %q", r.status, r.body)
			}
			return err
		})
		m.state(t, "payments", "half_open")
		reached := u.calls.Load()
		holds(t, "callers get the fallback, and nothing is decided", 4*time.Second, func() error {
			r, err := m.get(t.Context(), "payments", "/")
			if err != nil {
				return err
			}
			if r.body != "instead" {
				return fmt.Errorf("got %d %q", r.status, r.body)
			}
			return m.is(t, "payments", "half_open")
		})
		if n := u.calls.Load() - reached; n > 12 { // health checks
			t.Errorf("%d calls reached a service that is out of rotation", n)
		}
		trip := m.breaker(t, "payments").Trip
		u.behave(answer(http.StatusOK))
		eventually(t, "it closes", func() error {
			if _, err := m.get(t.Context(), "payments", "/"); err != nil {
				return err
			}
			return m.is(t, "payments", "closed")
		})
		if last := m.breaker(t, "payments").Trip; last != trip {
			t.Errorf("on the way it opened again: %+v", last)
		}
	})
}
