package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestTwoProxiesWithOneID shows that two proxies with the same id both get the policy and the gates, that the failures of
// both count, and that operators see the mistake.
func TestTwoProxiesWithOneID(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address)+adaptive("payments",
		"breaker: {consecutiveFailures: 4, failureRateThreshold: 0%, waitDurationInOpenState: 2s, successThreshold: 1}"))
	began := time.Now()
	other := m.startProxy(t, "shop-1")
	both := []*caller{m.caller, other}
	for episode := range 3 {
		u.behave(answer(http.StatusInternalServerError))
		if episode == 0 {
			for _, p := range both {
				for range 2 {
					p.must(t, "payments", http.StatusInternalServerError)
				}
			}
			m.state(t, "payments", "open")
		}
		// Log entries come a moment later, so a good call from the episode before may come between two failures of this one.
		eventually(t, "the breaker opens", func() error {
			if m.inState(t, "payments", "open") == nil {
				return nil
			}
			for _, p := range both {
				if _, err := p.get(t.Context(), "payments", "/"); err != nil {
					return err
				}
			}
			return errors.New("the breaker is closed")
		})
		for _, p := range both {
			p.rejects(t, "payments")
		}
		u.behave(answer(http.StatusOK))
		m.state(t, "payments", "half_open")
		for _, p := range both {
			p.passes(t, "payments")
		}
		m.state(t, "payments", "closed")
	}
	reported := func() error {
		config := m.page(t, "/config")
		if n, err := m.tryMetric("breakwater_xds_duplicate_nodes"); err != nil || n != 1 || !strings.Contains(config, `"duplicate": true`) {
			return fmt.Errorf("%v duplicates, %v, in %s", n, err, config)
		}
		return nil
	}
	holds(t, "one proxy may connect twice for a while", max(25*time.Second-time.Since(began), 0), func() error {
		if reported() == nil && time.Since(began) < 30*time.Second {
			return fmt.Errorf("the two proxies are reported after %s", time.Since(began))
		}
		return nil
	})
	eventually(t, "the two proxies are reported", reported)
	eventually(t, "the log has the two proxies once", func() error {
		if n := strings.Count(m.control.output(), "two proxies have the same node id"); n != 1 {
			return fmt.Errorf("the log has them %d times:\n%s", n, m.control.output())
		}
		return nil
	})
}
