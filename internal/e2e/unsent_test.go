package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestProbesWithoutAnEndpoint shows that a half-open breaker stays half-open while no endpoint is healthy. Callers get the
// fallback, and the wait does not grow. The breaker closes as soon as there is a healthy endpoint.
func TestProbesWithoutAnEndpoint(t *testing.T) {
	eachPath(t, func(t *testing.T, dataPath string) {
		var reached atomic.Int64 // calls that reached the service, without health checks
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
		eventually(t, "the breaker opens", func() error {
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
				err = fmt.Errorf("the clusters are\n%s", clusters)
			}
			return err
		})
		m.state(t, "payments", "half_open")
		before := reached.Load()
		holds(t, "callers get the fallback, and the breaker stays half-open", 4*time.Second, func() error {
			r, err := m.get(t.Context(), "payments", "/")
			if err != nil {
				return err
			}
			if r.body != "instead" {
				return fmt.Errorf("got %d %q", r.status, r.body)
			}
			return m.inState(t, "payments", "half_open")
		})
		if n := reached.Load() - before; n > 0 {
			t.Errorf("%d calls reached a service without a healthy endpoint", n)
		}
		trip := m.breaker(t, "payments").Trip
		u.behave(answer(http.StatusOK))
		eventually(t, "the breaker closes", func() error {
			if _, err := m.get(t.Context(), "payments", "/"); err != nil {
				return err
			}
			return m.inState(t, "payments", "closed")
		})
		if last := m.breaker(t, "payments").Trip; last != trip {
			t.Errorf("the breaker opened again meanwhile: %+v", last)
		}
	})
}
