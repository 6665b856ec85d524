package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// callers starts n callers that call payments all the time.
func (m *mesh) callers(t *testing.T, n int) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for ctx.Err() == nil {
				_, _ = m.get(ctx, "payments", "/") // other tests check the response
			}
		})
	}
	t.Cleanup(func() { stop(); wg.Wait() })
}

// TestKilledInHalfOpenKeepsItsBound shows that probes that are in flight when the control plane is killed still count as in
// flight for the next one, even after the time in which proxies should have connected again.
func TestKilledInHalfOpenKeepsItsBound(t *testing.T) {
	eachPath(t, func(t *testing.T, dataPath string) {
		const permitted = 3
		ip := ownIP(t)
		u := newUpstream(t, ip)
		// Calls do not pass while no control plane runs, so all calls that reach the service are probes.
		o := prepareOperated(t, ip, service("payments", u.address)+policyFor("payments", dataPath, "timeout: 10s", endlessProbes, withoutPassing(dataPath)))
		serve := func() {
			o.startControl(t, "--admin-token-file", o.tokenFile, "--state-dir", o.stateDir, "--gate-ttl", "10m")
		}
		serve()
		o.startEnvoy(t)
		o.mesh.toHalfOpen(t, u, "payments")
		u.behave(late(8 * time.Second))
		u.most.Store(0)
		before := u.calls.Load()
		o.callers(t, 16)
		eventually(t, "all probes in flight", func() error {
			if n := u.inFlight.Load(); n < permitted {
				return fmt.Errorf("%d are in flight", n)
			}
			return nil
		})
		o.stored(t, `"half_open"`)
		o.control.kill()
		serve()
		o.state(t, "payments", "half_open")
		eventually(t, "new probes", func() error {
			if n := u.calls.Load() - before; n < 2*permitted {
				return fmt.Errorf("%d probes, including the ones before the kill", n)
			}
			return nil
		})
		if most := u.most.Load(); most > permitted {
			t.Errorf("%d probes were in flight at once, want at most %d", most, permitted)
		}
	})
}

// withoutPassing returns a field that rejects calls when the control plane does not answer. Only in the data path Inline the
// policy can decide that.
func withoutPassing(dataPath string) string {
	if strings.Contains(dataPath, "Inline") {
		return "failOpen: false"
	}
	return ""
}

// TestHalfOpenWaitsForProxies shows that a breaker whose wait has ended while no control plane ran does not become half-open
// before the proxies have connected again. Until then, calls may pass them without a permit.
func TestHalfOpenWaitsForProxies(t *testing.T) {
	t.Parallel()
	const permitted = 3
	ip := ownIP(t)
	u := newUpstream(t, ip)
	o := prepareOperated(t, ip, service("payments", u.address)+adaptive("payments", strings.Replace(endlessProbes, "300ms", "5s", 1)))
	o.startGated(t)
	o.startEnvoy(t)
	trip(t, o.mesh, u)
	o.rejects(t, "payments")
	o.stored(t, `"open"`)
	o.control.kill()
	u.behave(late(50 * time.Millisecond))
	o.callers(t, 30)
	holds(t, "the wait ends while no control plane runs", 6*time.Second, func() error { return nil })
	if n := u.most.Load(); n < 10 {
		t.Fatalf("at most %d calls were in flight without the gate, so the test shows nothing", n)
	}
	o.startGated(t)
	o.state(t, "payments", "half_open")
	u.most.Store(0)
	holds(t, "no more probes than permits", 2*time.Second, func() error {
		if n := u.most.Load(); n > permitted {
			return fmt.Errorf("%d are in flight", n)
		}
		return nil
	})
	if u.most.Load() == 0 {
		t.Error("there are no probes")
	}
}

// TestRemovedAndAddedAgain shows that a breaker is still open, and still forced by hand, when its upstream is removed from the
// policy and added again. The log says so when it is removed.
func TestRemovedAndAddedAgain(t *testing.T) {
	t.Parallel()
	for name, restarted := range map[string]bool{"by reloads": false, "over a restart": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ip := ownIP(t)
			u := newUpstream(t, ip)
			other := service("other", u.address) + guard("other")
			both := other + service("payments", u.address) + guard("payments", longOpen) + service("forced", u.address) + guard("forced")
			o := newOperated(t, ip, both)
			trip(t, o.mesh, u)
			u.behave(answer(http.StatusOK))
			o.force(t, "force", "forced", "open", "--for", "1h")
			before := o.history(t, "forced").Forced
			o.state(t, "payments", "open")
			o.stored(t, "alice@ops")
			reload := func(text string) {
				old := o.revision(t, "")
				o.write(t, "policy.yaml", text)
				o.revision(t, old)
			}
			reload(other)
			eventually(t, "the log has both removals", func() error {
				for _, want := range []string{"breaker=payments", "breaker=forced"} {
					if log := o.control.output(); !strings.Contains(log, want) {
						return fmt.Errorf("there is no %s in the log:\n%s", want, tail(log, 5))
					}
				}
				return nil
			})
			if restarted {
				o.control.kill()
				o.startOperated(t)
			}
			reload(both)
			o.state(t, "payments", "open")
			after := o.history(t, "forced").Forced
			if before == nil || after == nil {
				t.Fatalf("the breaker was forced by %+v, and then by %+v", before, after)
			}
			if after.By != before.By || after.Reason != before.Reason || after.Until.Sub(before.Until).Abs() > 50*time.Millisecond {
				t.Errorf("the breaker is forced by %+v, and was forced by %+v", after, before)
			}
			o.keepsRejecting(t, u)
		})
	}
}
