package driver

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"breakwater.dev/breaker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var payments = breaker.Key{Upstream: "payments"}

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

// many is more breakers than the engine hands on transitions of in one call.
const many = 300

// TestNothingIsLeft: Deliver passes on every transition, also where there are more than one call of the engine hands on, and
// so does Run at its end.
func TestNothingIsLeft(t *testing.T) {
	for name, deliver := range map[string]func(*testing.T, *Driver){
		"deliver": func(_ *testing.T, d *Driver) { d.Deliver() },
		"run": func(t *testing.T, d *Driver) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			for len(d.wake) > 0 {
				<-d.wake // so that Run sees only its timer and the end
			}
			d.Run(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := map[breaker.Key]int{}
				d := New()
				d.Observe([]Observer{{Observe: func(t breaker.Transition) { got[t.Key]++ }}})
				var specs []breaker.Spec
				for i := range many {
					s := spec(breaker.Key{Upstream: fmt.Sprint("u", i)})
					s.Config.Mode = breaker.ForcedOpen
					specs = append(specs, s)
				}
				d.Engine.Apply(specs, d.Clock.Now())
				deliver(t, d)
				if len(got) != many {
					t.Errorf("%d breakers of %d were observed", len(got), many)
				}
				o := breaker.Override{State: breaker.Open, By: "alice", Note: "a reason", Until: d.Clock.Now().Add(time.Hour)}
				if err := d.Engine.Force(specs[0].Key, o, d.Clock.Now()); err != nil {
					t.Fatal(err)
				}
				deliver(t, d)
				if got[specs[0].Key] != 2 {
					t.Errorf("a change by hand was observed %d times, want once", got[specs[0].Key]-1)
				}
			})
		})
	}
}

// TestOneObserverAtATime, with several goroutines that deliver.
func TestOneObserverAtATime(t *testing.T) {
	observing, most := 0, 0
	var mu sync.Mutex
	d := New()
	d.Observe([]Observer{{Observe: func(breaker.Transition) {
		mu.Lock()
		observing++
		most = max(most, observing)
		mu.Unlock()
		runtime.Gosched()
		mu.Lock()
		observing--
		mu.Unlock()
	}}})
	var running sync.WaitGroup
	var specs []breaker.Spec
	for i := range 8 {
		specs = append(specs, spec(breaker.Key{Upstream: fmt.Sprint("u", i)}))
	}
	d.Engine.Apply(specs, d.Clock.Now())
	for _, s := range specs {
		running.Go(func() {
			for range 100 {
				if err := d.Engine.Reset(s.Key, "alice", "a reason", d.Clock.Now()); err != nil {
					t.Error(err)
				}
				d.Deliver()
			}
		})
	}
	running.Wait()
	if most != 1 {
		t.Errorf("%d observers at once, want 1", most)
	}
}

// TestRunIsWokenForACall: Run waits for nothing when a call begins that becomes slow. It must notice when that is, without
// any other call that would bring the breaker to the present.
func TestRunIsWokenForACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var got []breaker.Transition
		d := New()
		d.Observe([]Observer{{Observe: func(t breaker.Transition) { got = append(got, t) }}})
		s := spec(payments)
		s.Config.SlowCallRateThreshold, s.Config.SlowCallDurationThreshold = breaker.Whole, 2*time.Second
		s.Config.MinimumNumberOfCalls = 1
		d.Engine.Apply([]breaker.Spec{s}, d.Clock.Now())
		go d.Run(ctx)
		synctest.Wait()
		time.Sleep(time.Second)
		d.Engine.Acquire(payments, d.Clock.Now())
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(got) == 0 || got[0].At < breaker.Instant(3*time.Second) || got[0].At > breaker.Instant(3250*time.Millisecond) {
			t.Errorf("transitions %+v, want that the breaker tripped soon after 3s, when the call became slow", got)
		}
	})
}

// TestWithoutObservers: time changes breakers, and no transition is kept.
func TestWithoutObservers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		d := New()
		d.Engine.Apply([]breaker.Spec{spec(payments)}, d.Clock.Now())
		fail(t, d.Engine, payments, d.Clock.Now())
		if n := len(d.pending); n > 0 {
			t.Errorf("%d transitions are kept, want none", n)
		}
		go d.Run(ctx)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		since := d.Engine.Breaker(payments).Status(d.Clock.Now()).Since
		if want := breaker.Instant(time.Second); since != want {
			t.Errorf("half-open since %v, want %v", since, want)
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
