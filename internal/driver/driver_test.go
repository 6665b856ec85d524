package driver

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"breakwater.dev/breaker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var payments, search = breaker.Key{Upstream: "payments"}, breaker.Key{Upstream: "search"}

// spec trips at the first failure and probes a second later.
func spec(key breaker.Key) breaker.Spec {
	c := breaker.DefaultConfig()
	c.ConsecutiveFailures, c.SuccessThreshold = 1, 1
	c.WaitDurationInOpenState = time.Second
	return breaker.Spec{Key: key, Config: c, Lease: time.Second}
}

func fail(t *testing.T, e *breaker.Engine, key breaker.Key, now breaker.Instant) {
	t.Helper()
	permit, decision := e.Acquire(key, now)
	if !decision.Admitted {
		t.Fatalf("%v is %v", key, decision.State)
	}
	permit.Done(breaker.Failure, now)
}

// Time alone takes a breaker from open to half-open, and from there back to open,
// without any request; each transition is delivered once, in order.
func TestTransitionsCausedByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var got []breaker.Transition
		d := New()
		d.Observe([]Observer{{Observe: func(t breaker.Transition) { got = append(got, t) }}})
		s := spec(payments)
		s.Config.MaxWaitDurationInHalfOpenState = 10 * time.Second
		d.Engine.Apply([]breaker.Spec{s}, d.Clock.Now())
		go d.Run(ctx)
		synctest.Wait()
		start := d.Clock.Now()
		fail(t, d.Engine, payments, start)
		time.Sleep(12 * time.Second)
		synctest.Wait()
		want := []struct {
			to    breaker.State
			after time.Duration
		}{{breaker.Open, 0}, {breaker.HalfOpen, time.Second}, {breaker.Open, 11 * time.Second}, {breaker.HalfOpen, 12 * time.Second}}
		if len(got) != len(want) {
			t.Fatalf("%d transitions, want %d: %+v", len(got), len(want), got)
		}
		for i, w := range want {
			if g := got[i]; g.Edge.To != w.to || g.At.Sub(start) != w.after || g.Sequence != uint64(i+1) {
				t.Errorf("transition %d: to %v after %v, sequence %d; want to %v after %v", i, g.Edge.To, g.At.Sub(start), g.Sequence, w.to, w.after)
			}
		}
	})
}

// Run delivers pending transitions after its context has ended.
func TestTransitionsDrainAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var got []breaker.Key
		d := New()
		d.Observe([]Observer{{Observe: func(t breaker.Transition) { got = append(got, t.Key) }}})
		d.Engine.Apply([]breaker.Spec{spec(payments), spec(search)}, d.Clock.Now())
		cancel()
		fail(t, d.Engine, search, d.Clock.Now())
		fail(t, d.Engine, payments, d.Clock.Now())
		d.Run(ctx)
		if len(got) != 2 || got[0] != search || got[1] != payments {
			t.Errorf("delivered %v, want search and then payments", got)
		}
	})
}

// Without observers, time still changes breakers, and no transition is kept. Run waits for a call that becomes slow in
// 2 s when a wait of 1 s begins; it must not miss the shorter one.
func TestWithoutObservers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		d := New()
		d.Engine.Apply([]breaker.Spec{spec(payments)}, d.Clock.Now())
		permit, _ := d.Engine.Acquire(payments, d.Clock.Now())
		go d.Run(ctx)
		synctest.Wait()
		permit.Done(breaker.Failure, d.Clock.Now())
		time.Sleep(5 * time.Second)
		synctest.Wait()
		since := d.Engine.Breaker(payments).Status(d.Clock.Now()).Since
		if want := breaker.Instant(time.Second); since != want {
			t.Errorf("half-open since %v, want %v", since, want)
		}
		if len(d.pending) > 0 {
			t.Errorf("%d transitions are pending without an observer, want none", len(d.pending))
		}
	})
}

func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClock()
		time.Sleep(90 * time.Minute)
		now, wall := c.Both()
		if got, want := now, breaker.Instant(90*time.Minute); got != want || c.Now() != want {
			t.Errorf("%v and %v have passed, want %v", got, c.Now(), want)
		}
		if !wall.Equal(time.Now()) || !c.Wall(now).Equal(wall) {
			t.Errorf("it is %v and %v, want %v", wall, c.Wall(now), time.Now())
		}
	})
}
