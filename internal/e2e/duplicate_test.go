package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestTwoProxiesWithOneID: both have the policy, both obey, their failures add up, and somebody is told.
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
		// Proxies log a moment later, so good calls of the episode before may come between two failures of this one.
		eventually(t, "it opens", func() error {
			if m.is(t, "payments", "open") == nil {
				return nil
			}
			for _, p := range both {
				if _, err := p.get(t.Context(), "payments", "/"); err != nil {
					return err
				}
			}
			return errors.New("not yet")
		})
		for _, p := range both {
			p.shut(t, "payments")
		}
		u.behave(answer(http.StatusOK))
		m.state(t, "payments", "half_open")
		for _, p := range both {
			p.through(t, "payments")
		}
		m.state(t, "payments", "closed")
	}
	noticed := func() error {
		config := m.page(t, "/config")
		if n, err := m.tryMetric("breakwater_xds_duplicate_nodes"); err != nil || n != 1 || !strings.Contains(config, `"duplicate": true`) {
			return fmt.Errorf("%v duplicates, %v, in %s", n, err, config)
		}
		return nil
	}
	holds(t, "one proxy may connect twice for a while", max(25*time.Second-time.Since(began), 0), func() error {
		if noticed() == nil && time.Since(began) < 30*time.Second {
			return fmt.Errorf("noticed after %s", time.Since(began))
		}
		return nil
	})
	eventually(t, "they are noticed", noticed)
	eventually(t, "the log says so once", func() error {
		if n := strings.Count(m.control.output(), "two proxies have the same node id"); n != 1 {
			return fmt.Errorf("it does %d times:\n%s", n, m.control.output())
		}
		return nil
	})
}
