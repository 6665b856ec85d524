package e2e

import (
	"errors"
	"net/http"
	"testing"
	"time"
)

// TestProxiesComeBackSoon shows that a proxy connects again within 2 s after an outage, which is its longest pause between two
// attempts. Envoy's default pauses grow to 30 s, and open breakers are not in force until then.
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
	// The outage is so long that the default pauses of Envoy would be long by then, and that the gate has expired.
	outage := 40 * time.Second
	holds(t, "the proxy serves", outage, func() error {
		_, err := o.get(t.Context(), "payments", "/")
		return err
	})
	o.startOperated(t)
	began := time.Now()
	eventually(t, "the proxy is connected", func() error {
		if o.metric(t, "breakwater_xds_nodes") == 0 {
			return errors.New("no proxy is connected")
		}
		return nil
	})
	o.answers(t, "payments", http.StatusServiceUnavailable)
	took := time.Since(began)
	t.Logf("the open breaker was in force %s after the control plane was back", took.Round(10*time.Millisecond))
	if took > 10*time.Second { // the longest pause, and time for a busy machine
		t.Error("that took too long; want 2 s and the time for a connection")
	}
}
