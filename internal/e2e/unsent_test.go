package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestProbesThatAreSentToNobody say nothing of the service: while no endpoint is in rotation, half-open lasts, its
// callers get the fallback, and the wait does not grow. It closes as soon as there is an endpoint.
func TestProbesThatAreSentToNobody(t *testing.T) {
	eachPath(t, func(t *testing.T, dataPath string) {
		var reached atomic.Int64 // calls, without health checks
		ip := ownIP(t)
		u := newUpstream(t, ip)
		m := newMesh(t, ip, service("payments", u.address, "healthCheck: {path: /healthz, interval: 500ms, timeout: 250ms, unhealthyThreshold: 1, healthyThreshold: 1}")+
			policyFor("payments", dataPath, "fallback: {response: {status: 200, body: instead}}",
				"breaker: {consecutiveFailures: 3, waitDurationInOpenState: 1s, backoff: {multiplier: 3}, successThreshold: 1}"))
		m.must(t, "payments", http.StatusOK)
		failing := func(healthy bool) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/healthz" {
					reached.Add(1)
				}
				if r.URL.Path == "/healthz" && healthy {
					return
				}
				answer(http.StatusServiceUnavailable)(w, r)
			}
		}
		u.behave(failing(true))
		eventually(t, "it opens", func() error {
			r, err := m.get(t.Context(), "payments", "/")
			if err == nil && r.body != "instead" {
				err = fmt.Errorf("got %d %q", r.status, r.body)
			}
			return err
		})
		u.behave(failing(false))
		eventually(t, "no endpoint is healthy", func() error {
			clusters, err := fetch("http://" + ip + ":9901/clusters")
			if err == nil && !strings.Contains(clusters, "payments::"+u.address+"::health_flags::/failed_active_hc") {
				err = fmt.Errorf("they are\n%s", clusters)
			}
			return err
		})
		m.state(t, "payments", "half_open")
		before := reached.Load()
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
		if n := reached.Load() - before; n > 0 {
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
