package e2e

import (
	"errors"
	"net/http"
	"testing"
	"time"
)

// TestProxiesComeBackSoon: after an outage a proxy is connected again within its longest
// pause of 2 s. Envoy's own pauses grow to 30 s, so that open breakers were not in force.
func TestProxiesComeBackSoon(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	o := prepareOperated(t, ip, service("payments", u.address)+adaptive("payments", "breaker: {consecutiveFailures: 1, waitDurationInOpenState: 10m}"))
	o.startOperated(t)
	o.startEnvoy(t)
	u.behave(answer(http.StatusInternalServerError))
	o.must(t, "payments", http.StatusInternalServerError)
	o.state(t, "payments", "open")
	o.answers(t, "payments", http.StatusServiceUnavailable)
	o.stored(t, `"open"`)

	o.control.kill()
	// As long as it takes for Envoy's pauses to be long, and for the gate to fall away.
	outage := 40 * time.Second
	holds(t, "the proxy serves", outage, func() error {
		_, err := o.get(t.Context(), "payments", "/")
		return err
	})
	o.startOperated(t)
	began := time.Now()
	eventually(t, "the proxy is connected", func() error {
		if o.metric(t, "breakwater_xds_nodes") == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	o.answers(t, "payments", http.StatusServiceUnavailable)
	took := time.Since(began)
	t.Logf("the open breaker was in force %s after the control plane was back", took.Round(10*time.Millisecond))
	if took > 10*time.Second { // the longest pause, and room for a busy machine
		t.Error("want 2 s and what a connection takes")
	}
}
