package e2e

import (
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestMeshEjectsAcrossProxies shows that an endpoint is ejected by three failures in a row, though each of three proxies sees
// only one of them. All three proxies leave the endpoint alone, and use it again after its ejection.
func TestMeshEjectsAcrossProxies(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	good, bad := newUpstream(t, ip), newUpstream(t, ip)
	host, port, err := net.SplitHostPort(bad.address)
	if err != nil {
		t.Fatal(err)
	}
	m := newMesh(t, ip, service("payments", good.address)+
		fmt.Sprintf("  - {address: %s, port: %s}\n  loadBalancing: {policy: RoundRobin}\n", host, port)+
		adaptive("payments", "breaker: {consecutiveFailures: 0, failureRateThreshold: 0%}",
			"outlierDetection: {scope: Mesh, consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 4s, alwaysEjectOneEndpoint: true}"))
	proxies := m.fleet(t, 3)
	bad.behave(answer(http.StatusInternalServerError))
	began := time.Now()
	for i, p := range proxies {
		eventually(t, "the endpoint fails", func() error {
			r, err := p.get(t.Context(), "payments", "/")
			if err == nil && r.status == http.StatusOK {
				err = fmt.Errorf("the other endpoint has answered")
			}
			return err
		})
		m.counted(t, "payments", "failures", i+1)
	}
	ejected := `breakwater_outlier_ejected_endpoints{service="payments"}`
	eventually(t, "the endpoint is ejected", func() error {
		if got, err := m.tryMetric(ejected); err != nil || got != 1 {
			return fmt.Errorf("%v endpoints are ejected, %v", got, err)
		}
		return nil
	})
	ejections := `breakwater_outlier_ejections_total{rule="consecutive_5xx_errors",service="payments"}`
	if got := m.metric(t, ejections); got != 1 {
		t.Errorf("%v ejections, want 1", got)
	}
	for _, p := range proxies {
		eventually(t, "the proxy does not call the endpoint", func() error {
			reached := bad.calls.Load()
			for range 6 {
				if _, err := p.get(t.Context(), "payments", "/"); err != nil {
					return err
				}
			}
			if n := bad.calls.Load() - reached; n > 0 {
				return fmt.Errorf("%d calls reached the endpoint", n)
			}
			return nil
		})
	}
	// While the endpoint fails, it is ejected again when calls reach it after an ejection.
	before := m.metric(t, ejections)
	if most := 1 + int(time.Since(began)/(4*time.Second)); int(before) > most {
		t.Errorf("%v ejections in %s, want at most %d", before, time.Since(began), most)
	}
	bad.behave(answer(http.StatusOK))
	reached := bad.calls.Load()
	eventually(t, "the endpoint gets calls again", func() error {
		for _, p := range proxies {
			if _, err := p.get(t.Context(), "payments", "/"); err != nil {
				return err
			}
		}
		if bad.calls.Load() == reached {
			return fmt.Errorf("no call reached the endpoint")
		}
		return nil
	})
	if got := m.metric(t, ejections); got != before {
		t.Errorf("%v ejections, want still %v", got, before)
	}
}
