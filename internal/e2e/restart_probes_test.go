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

// callers are n callers who call payments again and again.
func (m *mesh) callers(t *testing.T, n int) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for ctx.Err() == nil {
				_, _ = m.get(ctx, "payments", "/") // what they get is another test's business
			}
		})
	}
	t.Cleanup(func() { stop(); wg.Wait() })
}

// takes is a handler that answers after a time.
func takes(d time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(d):
			answer(http.StatusOK)(w, r)
		case <-r.Context().Done():
		}
	}
}

// TestKilledInHalfOpenKeepsItsBound: probes that are in flight when the control plane is killed count, also after the
// time in which proxies are expected to come back.
func TestKilledInHalfOpenKeepsItsBound(t *testing.T) {
	eachPath(t, func(t *testing.T, dataPath string) {
		const permitted = 3
		ip := ownIP(t)
		u := newUpstream(t, ip)
		// Calls do not pass while the control plane is away, so all that reach the service are probes.
		o := prepareOperated(t, ip, service("payments", u.address)+policyFor("payments", dataPath, "timeout: 10s", endlessProbes, withoutPassing(dataPath)))
		serve := func() {
			o.startControl(t, "--admin-token-file", o.tokenFile, "--state-dir", o.stateDir, "--gate-ttl", "10m")
		}
		serve()
		o.startEnvoy(t)
		o.mesh.fall(t, u, "payments")
		u.behave(takes(8 * time.Second))
		u.most.Store(0)
		before := u.calls.Load()
		o.callers(t, 16)
		eventually(t, "all probes in flight", func() error {
			if n := u.inFlight.Load(); n < permitted {
				return fmt.Errorf("%d", n)
			}
			return nil
		})
		o.stored(t, `"half_open"`)
		o.control.kill()
		serve()
		o.state(t, "payments", "half_open")
		eventually(t, "new probes", func() error {
			if n := u.calls.Load() - before; n < 2*permitted {
				return fmt.Errorf("%d probes with those before the kill", n)
			}
			return nil
		})
		if most := u.most.Load(); most > permitted {
			t.Errorf("%d probes were in flight at once, want at most %d", most, permitted)
		}
	})
}

// withoutPassing has calls fall back that cannot ask, in the data path in which that is up to the policy.
func withoutPassing(dataPath string) string {
	if strings.Contains(dataPath, "Inline") {
		return "failOpen: false"
	}
	return ""
}

// TestHalfOpenWaitsForProxies: a wait that ended while the control plane was away does not have
// calls pass a proxy that has yet to come back.
func TestHalfOpenWaitsForProxies(t *testing.T) {
	t.Parallel()
	const permitted = 3
	ip := ownIP(t)
	u := newUpstream(t, ip)
	o := prepareOperated(t, ip, service("payments", u.address)+adaptive("payments", strings.Replace(endlessProbes, "300ms", "5s", 1)))
	o.startGated(t)
	o.startEnvoy(t)
	trip(t, o.mesh, u)
	o.shut(t, "payments")
	o.stored(t, `"open"`)
	o.control.kill()
	u.behave(takes(50 * time.Millisecond))
	o.callers(t, 30)
	holds(t, "the wait ends while nobody is there", 6*time.Second, func() error { return nil })
	if n := u.most.Load(); n < 10 {
		t.Fatalf("%d calls pass the gate that has fallen away; the test shows nothing", n)
	}
	o.startGated(t)
	o.state(t, "payments", "half_open")
	u.most.Store(0)
	holds(t, "no more than are permitted", 2*time.Second, func() error {
		if n := u.most.Load(); n > permitted {
			return fmt.Errorf("%d in flight", n)
		}
		return nil
	})
	if u.most.Load() == 0 {
		t.Error("nobody probes")
	}
}

// TestRemovedAndAddedAgain: an upstream that is taken out of the policy and put back is as open as it was, and forced for as
// long as a person said; the log says what becomes of it.
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
			eventually(t, "the log says what becomes of both", func() error {
				for _, want := range []string{"breaker=payments", "breaker=forced"} {
					if log := o.control.output(); !strings.Contains(log, want) {
						return fmt.Errorf("there is no %s in\n%s", want, tail(log, 5))
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
				t.Fatalf("forced %+v, then %+v", before, after)
			}
			if after.By != before.By || after.Reason != before.Reason || after.Until.Sub(before.Until).Abs() > 50*time.Millisecond {
				t.Errorf("forced %+v, was %+v", after, before)
			}
			o.rejected(t, u)
		})
	}
}
