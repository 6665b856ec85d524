package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// paced makes calls through a proxy until the test ends, on some connections, with a pause between the calls of each.
func (c *caller) paced(t *testing.T, connections int, pause time.Duration) {
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(func() { stop(); running.Wait() })
	for range connections {
		running.Go(func() {
			tick := time.NewTicker(pause)
			defer tick.Stop()
			for ctx.Err() == nil {
				_, _ = c.get(ctx, "payments", "/") // the test counts at the service and at the breaker
				<-tick.C
			}
		})
	}
}

// sampledExactly waits until the proxy samples the calls of the breaker, and either logs all of them for now or does not.
func (m *mesh) sampledExactly(t *testing.T, exact bool) {
	t.Helper()
	eventually(t, fmt.Sprintf("the proxy samples, and logs all calls: %t", exact), func() error {
		page, err := fetch("http://" + m.ip + ":9901/runtime")
		switch {
		case err != nil:
			return err
		case !strings.Contains(page, "breakwater.payments.sampled"):
			return errors.New("it does not sample")
		case strings.Contains(page, "breakwater.payments.exact") != exact:
			return errors.New("it does the other thing")
		}
		return nil
	})
}

// TestBusyServiceDies: a few failures in a row of a busy service have all its calls logged, and none sampled, until it is calm
// again. When it dies, its breaker trips by far fewer failures than a sample would take, which would be 2,000 or more.
func TestBusyServiceDies(t *testing.T) {
	t.Parallel()
	const run, atMost = 20, 1_000
	ip := ownIP(t)
	u := newUpstream(t, ip)
	var failing atomic.Int64 // how many calls are still to fail
	u.behave(func(w http.ResponseWriter, r *http.Request) {
		if failing.Add(-1) >= 0 {
			answer(http.StatusInternalServerError)(w, r)
			return
		}
		answer(http.StatusOK)(w, r)
	})
	m := newMesh(t, ip, service("payments", u.address)+adaptive("payments",
		"breaker: {consecutiveFailures: 20, failureRateThreshold: 90%, waitDurationInOpenState: 1s, successThreshold: 1}"))
	for _, p := range m.fleet(t, 2) {
		p.paced(t, 4, 8*time.Millisecond)
	}
	m.sampledExactly(t, false)

	ctx, stop := context.WithCancel(t.Context())
	var trouble sync.WaitGroup
	trouble.Go(func() { // a sampled success may come in the middle, so one attempt may not be enough
		tick := time.NewTicker(3 * time.Second)
		defer tick.Stop()
		for ctx.Err() == nil {
			failing.Store(run - 1)
			<-tick.C
		}
	})
	m.sampledExactly(t, true)
	stop()
	trouble.Wait()
	if s := m.breaker(t, "payments"); s.State != "closed" || m.history(t, "payments").Trip != nil {
		t.Fatalf("the breaker is %+v after %d failures in a row, want closed", s, run-1)
	}
	m.sampledExactly(t, false)

	before := m.breaker(t, "payments").Counts.Failures
	failing.Store(1 << 40)
	m.state(t, "payments", "open")
	h := m.history(t, "payments")
	if failed := m.breaker(t, "payments").Counts.Failures - before; h.Trip.Reason != "consecutive_failures" || h.Trip.Window.Run > atMost {
		t.Errorf("the breaker tripped by %+v, with %d failures in all; want a run of at most %d", h.Trip, failed, atMost)
	}
	t.Logf("a run of %d failures tripped the breaker", h.Trip.Window.Run)

	failing.Store(0)
	m.state(t, "payments", "closed")
	m.sampledExactly(t, false)
}

// TestRejectionsInlineAreNotLogged: the control plane knows the calls that it has rejected.
func TestRejectionsInlineAreNotLogged(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u, dead := newUpstream(t, ip), newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address)+guard("payments", "mode: ForcedOpen")+
		service("stock", dead.address)+adaptive("stock"))
	dead.stop()
	for range 50 {
		m.must(t, "payments", http.StatusServiceUnavailable)
	}
	m.counted(t, "payments", "rejected", 50)
	m.must(t, "stock", http.StatusServiceUnavailable) // its entry comes after all entries of its worker
	m.counted(t, "stock", "failures", 1)
	entries := 0.
	for _, result := range []string{"reported", "rejected", "skipped", "invalid", "dropped", "refused"} {
		entries += m.metric(t, fmt.Sprintf(`breakwater_feed_entries_total{result=%q}`, result))
	}
	if entries != 1 {
		t.Errorf("%v requests are logged, want the one that failed", entries)
	}
}
