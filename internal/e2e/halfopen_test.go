package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
)

// quick is a breaker that opens at the first failure, and is half-open soon after.
const quick = "breaker: {consecutiveFailures: 1, failureRateThreshold: 0%, slowCallRateThreshold: 0%, waitDurationInOpenState: 300ms, " +
	"permittedNumberOfCallsInHalfOpenState: 3, successThreshold: 5, maxWaitDurationInHalfOpenState: 60s}"

// turnstile is a handler that keeps every request until the test releases it.
type turnstile struct {
	release chan int // the status of the next response
}

func (g turnstile) handle(w http.ResponseWriter, r *http.Request) {
	select {
	case status := <-g.release:
		answer(status)(w, r)
	case <-r.Context().Done():
	}
}

// TestHalfOpenBoundsProbes shows that a half-open breaker with 64 callers has no more probes in flight than permits.
func TestHalfOpenBoundsProbes(t *testing.T) {
	t.Parallel()
	const permitted, callers = 3, 64
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address)+guard("payments", quick))
	trip(t, m, u)

	g := turnstile{release: make(chan int)}
	u.behave(g.handle)
	m.state(t, "payments", "half_open")
	u.most.Store(0)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var rejected atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for ctx.Err() == nil {
				if r, err := m.get(ctx, "payments", "/"); err == nil && r.status == http.StatusServiceUnavailable {
					rejected.Add(1)
				}
			}
		})
	}
	eventually(t, "all probes in flight, and many calls rejected", func() error {
		if n, r := u.inFlight.Load(), rejected.Load(); n < permitted || r < 10*callers {
			return fmt.Errorf("%d in flight, %d rejected", n, r)
		}
		return nil
	})
	if most := u.most.Load(); most != permitted {
		t.Errorf("%d probes were in flight at the upstream at once, want %d", most, permitted)
	}
	// One probe after the other succeeds, and another call gets its permit. The fifth success closes the breaker, and then
	// all calls pass.
	for range 5 {
		g.release <- http.StatusOK
	}
	u.behave(answer(http.StatusOK))
	m.state(t, "payments", "closed")
	cancel()
	wg.Wait()
}

// TestHalfOpenNeverMoreThanPermitted keeps a breaker half-open under load for hundreds of probes. There are never more probes
// in flight than permits.
func TestHalfOpenNeverMoreThanPermitted(t *testing.T) {
	t.Parallel()
	const permitted, callers = 3, 64
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address)+guard("payments", "timeout: 10s", // longer than any probe takes
		"breaker: {consecutiveFailures: 1, failureRateThreshold: 0%, slowCallRateThreshold: 0%, waitDurationInOpenState: 300ms, "+
			"permittedNumberOfCallsInHalfOpenState: 3, successThreshold: 500, maxWaitDurationInHalfOpenState: 30m}"))
	trip(t, m, u)
	u.most.Store(0)
	before := u.calls.Load()
	var probes atomic.Int64
	u.behave(func(w http.ResponseWriter, r *http.Request) {
		probes.Add(1)
		answer(http.StatusOK)(w, r)
	})
	m.state(t, "payments", "half_open")

	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for u.calls.Load()-before < 380 {
				_, _ = m.get(t.Context(), "payments", "/") // other tests check the response
			}
		})
	}
	grows(t, "380 probes", 380, probes.Load)
	wg.Wait()
	if got := m.breaker(t, "payments").State; got != "half_open" {
		t.Fatalf("the breaker is %s, want half_open: the test did not measure half-open alone", got)
	}
	if most := u.most.Load(); most > permitted || most == 0 {
		t.Errorf("%d probes were in flight at the upstream at once, want 1 to %d", most, permitted)
	}
}

// TestFailingProbeReopens shows that a failed probe opens the breaker again, and that its earlier successes then no longer
// count.
func TestFailingProbeReopens(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address)+guard("payments", quick))
	trip(t, m, u)

	u.behave(answer(http.StatusOK))
	m.state(t, "payments", "half_open")
	for range 4 {
		m.must(t, "payments", http.StatusOK)
	}
	if got := m.breaker(t, "payments").State; got != "half_open" {
		t.Fatalf("after 4 of 5 successes the breaker is %s", got)
	}
	u.behave(answer(http.StatusInternalServerError))
	first := m.breaker(t, "payments").Trip
	m.must(t, "payments", http.StatusInternalServerError)
	// The state may be half_open again, because the breaker is open for 300 ms only.
	if got := m.breaker(t, "payments").Trip; got.Sequence <= first.Sequence || got.Reason != "probe_failed" {
		t.Fatalf("after a failed probe the last trip is %+v, and it was %+v before", got, first)
	}

	u.behave(answer(http.StatusOK))
	m.state(t, "payments", "half_open")
	for range 4 {
		m.must(t, "payments", http.StatusOK)
	}
	if got := m.breaker(t, "payments").State; got != "half_open" {
		t.Fatalf("earlier successes were counted: after 4 of 5 the breaker is %s", got)
	}
	m.must(t, "payments", http.StatusOK)
	m.state(t, "payments", "closed")
}

// TestClientThatLeavesGivesItsPermitBack shows that a probe whose client leaves gives its permit back at once.
func TestClientThatLeavesGivesItsPermitBack(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address)+guard("payments", quick))
	trip(t, m, u)
	u.behave(hang)
	m.state(t, "payments", "half_open")

	for round := range 4 {
		ctx, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if _, err := m.get(ctx, "payments", "/"); !errors.Is(err, context.Canceled) {
					t.Errorf("round %d: a probe got a response: %v", round, err)
				}
			})
		}
		probes(t, m, 3)
		leave()
		wg.Wait()
		probes(t, m, 0)
	}
	s := m.breaker(t, "payments")
	if s.State != "half_open" || s.Counts.Ignored != 12 || s.Counts.Failures != 1 {
		t.Errorf("after 12 clients have left the breaker is %+v, want half_open with 12 ignored calls and the 1 failure from before", s)
	}
	if got := m.metric(t, `circuit_breaker_leases_expired_total{route="",service="payments"}`); got != 0 {
		t.Errorf("%v leases expired, so the permits were not given back", got)
	}
}

// TestHalfOpenEnds shows that the breaker opens again if a probe gets no response before the end of half-open.
func TestHalfOpenEnds(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address)+guard("payments", "timeout: 10s",
		"breaker: {consecutiveFailures: 1, failureRateThreshold: 0%, waitDurationInOpenState: 300ms, "+
			"permittedNumberOfCallsInHalfOpenState: 1, successThreshold: 1, maxWaitDurationInHalfOpenState: 1s}"))
	trip(t, m, u)
	u.behave(hang)
	m.state(t, "payments", "half_open")
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	done := make(chan error, 1)
	go func() {
		_, err := m.get(ctx, "payments", "/")
		done <- err
	}()
	m.state(t, "payments", "open")
	leave()
	<-done
	series := `circuit_breaker_transitions_total{from="half_open",reason="half_open_expired",route="",service="payments",to="open"}`
	if got := m.metric(t, series); got < 1 {
		t.Errorf("%s = %v, want at least 1", series, got)
	}
}

// trip opens the breaker of payments, which must be closed and open at the first failure.
func trip(t *testing.T, m *mesh, u *upstream) {
	t.Helper()
	u.behave(answer(http.StatusInternalServerError))
	m.must(t, "payments", http.StatusInternalServerError)
}

// probes waits until a number of probes are in flight.
func probes(t *testing.T, m *mesh, want int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d probes in flight", want), func() error {
		if got := m.breaker(t, "payments").Probes; got != want {
			return fmt.Errorf("%d are in flight", got)
		}
		return nil
	})
}
