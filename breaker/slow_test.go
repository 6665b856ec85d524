package breaker

import (
	"testing"
	"time"
)

// slowRule trips when half of four calls are slow, and by no other rule.
func slowRule(threshold time.Duration) Config {
	cfg := rateRule(0, 4)
	cfg.SlowCallDurationThreshold, cfg.SlowCallRateThreshold = threshold, 5_000
	return cfg
}

// counted makes the window the last n calls.
func counted(cfg Config, n uint32) Config {
	cfg.WindowSize, cfg.WindowDuration = n, 0
	return cfg
}

// eachWindow runs a test with both kinds of window.
func eachWindow(t *testing.T, cfg Config, test func(t *testing.T, r *rig)) {
	t.Run("time", func(t *testing.T) { test(t, newRig(t, cfg)) })
	t.Run("count", func(t *testing.T) { test(t, newRig(t, counted(cfg, 8))) })
}

// advanceUntil only calls Advance, when it is due, and does not use a breaker.
func (r *rig) advanceUntil(end Instant) {
	r.t.Helper()
	for range 10_000 {
		next, ok := r.engine.Advance(r.now)
		switch {
		case ok && next <= r.now:
			r.t.Fatalf("at %d the next change is due at %d, which is not later", r.now, next)
		case !ok || next > end:
			r.now = end
			r.engine.Advance(end)
			return
		}
		r.now = next
	}
	r.t.Fatalf("Advance was due 10,000 times before %d", end)
}

// TestRule4HungCallsTripWhileTheyHang: no call has to end, no other has to be made, and the
// breaker does not have to be read. Calling Advance is enough.
func TestRule4HungCallsTripWhileTheyHang(t *testing.T) {
	for _, threshold := range []time.Duration{time.Millisecond, 300 * time.Millisecond, 2 * time.Second, time.Hour} {
		t.Run(threshold.String(), func(t *testing.T) {
			cfg := slowRule(threshold)
			cfg.WindowDuration = MaxDuration
			eachWindow(t, cfg, func(t *testing.T, r *rig) {
				began := r.now
				r.call(Success, Success)
				r.admit()
				r.admit()
				r.advanceUntil(began.Add(threshold - 1))
				if len(r.transitions) > 0 {
					t.Fatalf("tripped %s before the calls were slow: %+v", began.Add(threshold).Sub(r.now), r.transitions)
				}
				r.advanceUntil(began.Add(threshold + threshold/sliceParts))
				if len(r.transitions) == 0 {
					t.Fatal("no transition by an eighth after the threshold")
				}
				tr := r.transitions[0]
				want := WindowCounts{Calls: 4, Slow: 2}
				if tr.Edge != (Edge{Closed, Open, SlowCallRate}) || tr.Window != want || tr.At < began.Add(threshold) {
					t.Errorf("transition %+v, want to open by the rate of slow calls with %+v", tr, want)
				}
				if got := r.status().InFlight; got != 2 {
					t.Errorf("%d calls in flight, want the two that hang", got)
				}
			})
		})
	}
}

// TestRule4SlowAtTheThreshold: to the nanosecond when a call ends, in each way in which it is
// counted.
func TestRule4SlowAtTheThreshold(t *testing.T) {
	for _, o := range []Outcome{Success, Failure, Timeout, Ignored} {
		for took, slow := range map[time.Duration]uint64{0: 0, 2*time.Second - 1: 0, 2 * time.Second: 1, time.Hour: 1} {
			cfg := runRule(0)
			r := newRig(t, cfg)
			p := r.admit()
			r.after(took)
			p.Done(o, r.now)
			if o == Ignored {
				slow = 0
			}
			if got := r.status(); got.Counts.Slow != slow || got.Window.Slow != slow {
				t.Errorf("%s after %s: %d slow calls and %d in the window, want %d", o, took, got.Counts.Slow, got.Window.Slow, slow)
			}
		}
	}
}

// TestRule4SlowByAnOldClock: a call counts from the time that its caller read, even where the
// caller read the clock long before and nothing has happened since.
func TestRule4SlowByAnOldClock(t *testing.T) {
	r := newRig(t, slowRule(2*time.Second))
	r.call(Success) // the next calls take no lock
	b := r.engine.Breaker(keyA)
	for took, want := range map[time.Duration]uint64{2*time.Second - 1: 0, 2 * time.Second: 1} {
		before := r.status().Counts
		r.call(Success)
		p, _ := b.Acquire(r.now.Add(-took))
		p.Done(Success, r.now)
		got := r.status().Counts
		if got.Slow-before.Slow != want || got.Successes-before.Successes != 2 {
			t.Errorf("a call of %s: %d slow of %d successes, want %d of 2", took, got.Slow-before.Slow, got.Successes-before.Successes, want)
		}
	}
}

// TestSlowCallInFlightSettles: the call counts as slow when it has passed the threshold, and
// when it has ended as what it was, once.
func TestSlowCallInFlightSettles(t *testing.T) {
	for o, want := range map[Outcome]WindowCounts{
		Success: {Calls: 3, Failures: 1, Slow: 1},
		Failure: {Calls: 3, Failures: 2, Slow: 1, Run: 2},
		Timeout: {Calls: 3, Failures: 2, Slow: 1, Run: 2},
		Ignored: {Calls: 2, Failures: 1, Run: 1},
		// The caller left, but the upstream had been slow.
		Abandoned: {Calls: 3, Failures: 1, Slow: 1, Run: 1},
	} {
		cfg := slowRule(2 * time.Second)
		cfg.MinimumNumberOfCalls = 10
		eachWindow(t, cfg, func(t *testing.T, r *rig) {
			hung := r.admit()
			r.call(Success, Failure)
			r.after(3 * time.Second)
			if got, early := r.status().Window, (WindowCounts{Calls: 3, Failures: 1, Slow: 1, Run: 1}); got != early {
				t.Errorf("window %+v while it hangs, want %+v", got, early)
			}
			r.after(time.Second)
			hung.Done(o, r.now)
			if got := r.status(); got.Window != want || got.InFlight != 0 {
				t.Errorf("window %+v after %s with %d in flight, want %+v and none", got.Window, o, got.InFlight, want)
			}
		})
	}
}

// TestSlowCallThatLeftTheWindow: it counts again when it ends, since it ends now.
func TestSlowCallThatLeftTheWindow(t *testing.T) {
	cfg := slowRule(2 * time.Second)
	cfg.MinimumNumberOfCalls = 100
	eachWindow(t, cfg, func(t *testing.T, r *rig) {
		first, second := r.admit(), r.admit()
		r.after(3 * time.Second)
		r.status()
		r.after(cfg.WindowDuration)
		r.call(repeat(Success, 8)...)
		if got, want := r.status().Window, (WindowCounts{Calls: 8}); got != want {
			t.Errorf("window %+v, want %+v", got, want)
		}
		first.Done(Ignored, r.now)
		second.Done(Failure, r.now)
		got := r.status().Window
		if want := min(9, got.Calls); got != (WindowCounts{Calls: want, Failures: 1, Slow: 1, Run: 1}) || want < 8 {
			t.Errorf("window %+v, want the failure among 8 or 9 calls", got)
		}
	})
}

// TestSlowCallsOfManySlices: calls that began one after the other are found slow one after
// the other, never early and at most an eighth late.
func TestSlowCallsOfManySlices(t *testing.T) {
	cfg := counted(slowRule(800*time.Millisecond), 1_000)
	cfg.MinimumNumberOfCalls = 1_000
	r := newRig(t, cfg)
	began := make([]Instant, 200)
	var permits []*Permit
	slow := func(late time.Duration) (n uint64) {
		for _, at := range began {
			if at > 0 && r.now >= at.Add(800*time.Millisecond+late) {
				n++
			}
		}
		return n
	}
	for i := range 400 {
		if i < len(began) {
			began[i] = r.now
			permits = append(permits, r.admit())
		}
		r.after(7 * time.Millisecond)
		if got, low, high := r.status().Window.Slow, slow(100*time.Millisecond), slow(0); got < low || got > high {
			t.Fatalf("after %s %d calls are slow, want %d to %d", r.now.Sub(epoch), got, low, high)
		}
	}
	for i, p := range permits {
		p.Done(Success, r.now)
		if got, want := r.status().InFlight, uint64(len(permits)-i-1); got != want {
			t.Fatalf("%d calls in flight, want %d", got, want)
		}
	}
	if got, want := r.status().Window, (WindowCounts{Calls: 200, Slow: 200}); got != want {
		t.Errorf("window %+v, want %+v", got, want)
	}
}

// TestSlowCallsEndOutOfOrder: calls that have not passed the threshold are not mistaken for
// calls that have, in whatever order they end.
func TestSlowCallsEndOutOfOrder(t *testing.T) {
	cfg := slowRule(2 * time.Second)
	cfg.MinimumNumberOfCalls = 100
	eachWindow(t, cfg, func(t *testing.T, r *rig) {
		old := r.admit()
		r.after(time.Second)
		middle := r.admit()
		r.after(1300 * time.Millisecond)
		young := r.admit()
		for _, step := range []struct {
			end  *Permit
			want WindowCounts
		}{
			{young, WindowCounts{Calls: 2, Slow: 1}},
			{middle, WindowCounts{Calls: 3, Slow: 1}},
			{old, WindowCounts{Calls: 3, Slow: 1}},
		} {
			step.end.Done(Success, r.now)
			if got := r.status().Window; got != step.want {
				t.Errorf("window %+v, want %+v", got, step.want)
			}
		}
	})
}

// TestSlowCallsOfAnEarlierGeneration: they count nowhere when they pass the threshold.
func TestSlowCallsOfAnEarlierGeneration(t *testing.T) {
	cfg := slowRule(2 * time.Second)
	cfg.ConsecutiveFailures, cfg.SuccessThreshold = 1, 1
	r := newRig(t, cfg)
	for range 10 {
		r.admit()
	}
	r.call(Failure)
	r.after(cfg.WaitDurationInOpenState)
	r.call(Success)
	r.want(Edge{HalfOpen, Closed, ProbesSucceeded})
	r.advanceUntil(r.now.Add(time.Minute))
	if got := r.status(); got.State != Closed || got.Window != (WindowCounts{}) || got.InFlight != 10 {
		t.Errorf("state %s with window %+v and %d in flight, want closed, nothing and 10", got.State, got.Window, got.InFlight)
	}
}

// TestSlowProbes: probes that answer in time but slowly do not close the breaker.
func TestSlowProbes(t *testing.T) {
	for _, tt := range []struct {
		name string
		slow int // among four probes
		rate Ratio
		want Edge
	}{
		{"all", 4, Whole, Edge{HalfOpen, Open, SlowCallRate}},
		{"half of them", 2, 5_000, Edge{HalfOpen, Open, SlowCallRate}},
		{"fewer than half", 1, 5_000, Edge{HalfOpen, Closed, ProbesSucceeded}},
		{"the rule is off", 4, 0, Edge{HalfOpen, Closed, ProbesSucceeded}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := DefaultConfig()
			cfg.SuccessThreshold, cfg.SlowCallRateThreshold = 4, tt.rate
			r := openRig(t, cfg)
			r.after(cfg.WaitDurationInOpenState)
			for i := range 4 {
				r.wantState(HalfOpen, 2)
				probe := r.admit()
				if i < tt.slow {
					r.after(cfg.SlowCallDurationThreshold)
				}
				probe.Done(Success, r.now)
			}
			tr := r.want(tt.want)
			if want := (WindowCounts{Calls: 4, Slow: uint64(tt.slow)}); tr.Window != want {
				t.Errorf("window %+v, want %+v", tr.Window, want)
			}
		})
	}
}

// TestNoCallIsSlowWithoutAThreshold: and none trips without a rate. In both cases the breaker
// does not wait for time.
func TestNoCallIsSlowWithoutAThreshold(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no threshold": func(c *Config) { c.SlowCallDurationThreshold = 0 },
		"no rate":      func(c *Config) { c.SlowCallRateThreshold = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := slowRule(time.Second)
			change(&cfg)
			r := newRig(t, cfg)
			permits := []*Permit{r.admit(), r.admit(), r.admit(), r.admit()}
			if next, ok := r.engine.Advance(r.now); ok {
				t.Errorf("it waits until %d", next)
			}
			r.after(time.Hour)
			for _, p := range permits {
				p.Done(Success, r.now)
			}
			r.wantState(Closed, 0)
			want := uint64(4)
			if cfg.SlowCallDurationThreshold == 0 {
				want = 0
			}
			if got := r.status().Counts.Slow; got != want {
				t.Errorf("%d slow calls, want %d", got, want)
			}
		})
	}
}

// TestRule4OnlyTheUpstreamFails: a failure and a timeout count against the upstream; a call
// that its client or we ourselves ended does not.
func TestRule4OnlyTheUpstreamFails(t *testing.T) {
	for o, failed := range map[Outcome]bool{Success: false, Failure: true, Timeout: true, Ignored: false, Abandoned: false} {
		if o.Failed() != failed {
			t.Errorf("%s failed: %t, want %t", o, o.Failed(), failed)
		}
		r := newRig(t, runRule(1))
		r.call(o)
		got := r.status()
		if (got.State == Open) != failed || (got.LastFailure != 0) != failed || (got.Counts.Failures == 1) != failed {
			t.Errorf("after %s it is %s, with %d failures, the last at %d; want that it failed: %t", o, got.State, got.Counts.Failures, got.LastFailure, failed)
		}
	}
}

// TestSlowCallsSettleTheOldestFirst: whichever call ends, the others stay in the window for as
// long as the youngest of them.
func TestSlowCallsSettleTheOldestFirst(t *testing.T) {
	cfg := slowRule(time.Second)
	cfg.MinimumNumberOfCalls = 100
	r := newRig(t, cfg)
	old := r.admit()
	r.after(1200 * time.Millisecond)
	r.status()
	r.after(4 * time.Second)
	young := r.admit()
	r.after(1200 * time.Millisecond)
	if got := r.status().Window.Slow; got != 2 {
		t.Fatalf("%d slow calls, want both", got)
	}
	young.Done(Ignored, r.now)
	r.after(6 * time.Second) // the older call has left the window
	if got, want := r.status().Window, (WindowCounts{Calls: 1, Slow: 1}); got != want {
		t.Errorf("window %+v, want %+v", got, want)
	}
	old.Done(Ignored, r.now)
	if got := r.status().Window; got != (WindowCounts{}) {
		t.Errorf("window %+v when both have ended, want nothing", got)
	}
}

// TestAdvanceIsNotDueForCallsThatEnded: it is due only for the call that still hangs.
func TestAdvanceIsNotDueForCallsThatEnded(t *testing.T) {
	r := newRig(t, slowRule(8*time.Second))
	ended := r.admit()
	r.after(4 * time.Second)
	began := r.now
	r.admit()
	r.after(2 * time.Second)
	r.status()
	ended.Done(Success, r.now)
	if next, ok := r.engine.Advance(r.now); !ok || next < began.Add(8*time.Second) || next > began.Add(9*time.Second) {
		t.Errorf("the next change is due %s after the hanging call began, %t; want 8s to 9s", next.Sub(began), ok)
	}
}
