package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// slowRule is a breaker that trips by slow calls only.
const slowRule = "breaker: {consecutiveFailures: 0, failureRateThreshold: 0%, slowCallDurationThreshold: 100ms, " +
	"slowCallRateThreshold: 100%, minimumNumberOfCalls: 5, slidingWindow: {type: TimeBased, duration: 1h}, waitDurationInOpenState: 1h}"

// late returns a handler that answers 200 after a time.
func late(d time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			answer(http.StatusOK)(w, r)
		case <-r.Context().Done():
		}
	}
}

// TestSlowCallsTrip shows that a breaker trips by calls that are successful and slow.
func TestSlowCallsTrip(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address)+guard("payments", "timeout: 60s", slowRule))
	u.behave(late(300 * time.Millisecond))
	for range 5 {
		m.must(t, "payments", http.StatusOK)
	}
	if r := m.must(t, "payments", http.StatusServiceUnavailable); r.header.Get("retry-after") == "" {
		t.Errorf("a rejected caller got %+v, want a header retry-after", r)
	}
	if got := u.calls.Load() - int64(m.passed); got != 5 {
		t.Errorf("%d calls reached the upstream, want the 5 before it tripped; %d others passed without a decision", got, m.passed)
	}
	m.transition(t, "payments", "closed", "slow_call_rate", "open")
	if got := m.metric(t, `circuit_breaker_slow_calls_total{route="",service="payments"}`); got != 5 {
		t.Errorf("%v slow calls, want 5", got)
	}
	if s := m.breaker(t, "payments"); s.Counts.Failures != 0 || s.Counts.Successes != 5 {
		t.Errorf("the breaker is %+v, want 5 successes and no failure", s)
	}
}

// TestHangingCallsTrip shows that a breaker trips by calls that hang, before any of them has ended.
func TestHangingCallsTrip(t *testing.T) {
	t.Parallel()
	const callers = 6
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address)+guard("payments", "timeout: 1h", slowRule))
	g := turnstile{release: make(chan int)}
	u.behave(g.handle)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			if r, err := m.get(t.Context(), "payments", "/"); err != nil || r.status != http.StatusOK {
				t.Errorf("an admitted call got %d, %v", r.status, err)
			}
		})
	}
	// The test reads the log, because a request for a breaker's page would make the breaker check its timers.
	eventually(t, "the breaker trips", func() error {
		if !strings.Contains(m.control.output(), "slow_call_rate") {
			return errors.New("the log has no transition")
		}
		return nil
	})
	if got := u.calls.Load(); got < 5 {
		t.Errorf("the breaker tripped after %d calls, want at least the minimum of 5", got)
	}
	m.must(t, "payments", http.StatusServiceUnavailable)
	eventually(t, "all admitted calls hang", func() error {
		if got, reached := u.inFlight.Load(), u.calls.Load(); got != reached {
			return fmt.Errorf("%d of %d calls hang", got, reached)
		}
		return nil
	})

	admitted := int(u.calls.Load())
	for range admitted {
		g.release <- http.StatusOK
	}
	wg.Wait()
	s := m.breaker(t, "payments")
	if s.State != "open" || s.Counts.Successes != admitted || s.Counts.Failures != 0 {
		t.Errorf("the breaker is %+v, want open with %d successes", s, admitted)
	}
}
