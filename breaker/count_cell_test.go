package breaker

import (
	"sync"
	"testing"
	"time"
)

// striped gives the breaker the stripes that it gets from collisions.
func (r *rig) striped() *Breaker {
	r.t.Helper()
	b := r.engine.Breaker(keyA)
	b.collisions.Store(manyCollisions)
	b.Status(r.now)
	if b.striped.Load() == nil {
		r.t.Fatal("the breaker is not striped after many collisions")
	}
	return b
}

// TestManyCallsInFlight: there are more than a cell can count, in one cell and in stripes,
// with calls that become slow and without. None is lost, in whatever order they end.
func TestManyCallsInFlight(t *testing.T) {
	const n = maxHeld + 3_000
	for _, stripe := range []bool{false, true} {
		for _, threshold := range []time.Duration{0, time.Hour} {
			cfg := runRule(0)
			cfg.SlowCallDurationThreshold, cfg.SlowCallRateThreshold, cfg.WindowDuration = threshold, Whole, MaxDuration
			r := newRig(t, cfg)
			b := r.engine.Breaker(keyA)
			if stripe {
				r.striped()
			}
			permits := make([]Permit, n)
			for i := range permits {
				permits[i], _ = b.Acquire(r.now)
			}
			if got := r.status(); got.InFlight != n || got.Counts.Requests != n {
				t.Fatalf("%d in flight of %d, want %d", got.InFlight, got.Counts.Requests, n)
			}
			more, _ := b.Acquire(r.now)
			more.Done(Success, r.now)
			if threshold > 0 {
				r.after(threshold / 2) // their slice is over
			}
			for i := range n / 2 {
				permits[i].Done(Success, r.now)
				permits[n-1-i].Done(Ignored, r.now)
			}
			for i := n / 2; i < n-n/2; i++ {
				permits[i].Done(Success, r.now)
			}
			want := Counts{Requests: n + 1, Successes: n - n/2 + 1, Ignored: n / 2}
			if got := r.status(); got.InFlight != 0 || got.Counts != want || got.Window.Calls != uint64(n-n/2+1) {
				t.Errorf("striped %t, slow after %s: %d in flight, counts %+v, %d in the window; want none, %+v", stripe, threshold, got.InFlight, got.Counts, got.Window.Calls, want)
			}
		}
	}
}

// TestManyCallsBetweenTwoLooks: there are more successes, and more rejections, than a cell
// can tally before the breaker is locked.
func TestManyCallsBetweenTwoLooks(t *testing.T) {
	const n = 3*tallyMask + 5
	for _, stripe := range []bool{false, true} {
		r := newRig(t, runRule(1))
		b := r.engine.Breaker(keyA)
		if stripe {
			r.striped()
		}
		r.call(repeat(Success, n)...)
		if got := r.status(); got.Counts != (Counts{Requests: n, Successes: n}) || got.Window.Calls != n {
			t.Fatalf("counts %+v and %d in the window, want %d", got.Counts, got.Window.Calls, n)
		}
		r.call(Failure)
		for range n {
			if _, d := b.Acquire(r.now); d.Admitted || d.RetryAfter != 30*time.Second {
				t.Fatalf("decision %+v, want to be rejected for 30s", d)
			}
		}
		if got, want := r.status().Counts, (Counts{Requests: 2*n + 1, Successes: n, Failures: 1, Rejected: n}); got != want {
			t.Errorf("counts %+v, want %+v", got, want)
		}
	}
}

// TestManyReportedSuccesses: a window of hours becomes full, and not wrong.
func TestManyReportedSuccesses(t *testing.T) {
	cfg := rateRule(5_000, 10)
	cfg.WindowDuration = MaxDuration
	r := newRig(t, cfg)
	for range 5_000 {
		r.report(Reported{At: r.now, OneIn: maxOneIn})
	}
	r.report(r.reported(Failure, 0, 20)...)
	if got := r.status(); got.State != Closed || got.Window.Calls != 1<<32-1 || got.Counts.Successes != 5_000*maxOneIn {
		t.Errorf("%s with %+v of %d successes, want closed with the most that fit", got.State, got.Window, got.Counts.Successes)
	}
}

// TestRule2PermitsOfManyEpochsAgo: a permit belongs to its generation however many slices
// have passed since.
func TestRule2PermitsOfManyEpochsAgo(t *testing.T) {
	cfg := slowRule(8 * time.Millisecond)
	cfg.SlowCallRateThreshold, cfg.WindowDuration, cfg.MinimumNumberOfCalls = Whole, MaxDuration, MaxCount
	r := newRig(t, cfg)
	old := r.admit()
	for range 1_000 {
		r.admit()
		r.after(time.Millisecond)
		r.status()
	}
	if got := r.status(); got.Generation != 1 || r.engine.Breaker(keyA).epochs.current < 500 {
		t.Fatalf("generation %d after %d epochs, want 1 after many", got.Generation, r.engine.Breaker(keyA).epochs.current)
	}
	old.Done(Failure, r.now)
	if got, want := r.status().Window, (WindowCounts{Calls: r.status().Window.Calls, Failures: 1, Slow: r.status().Window.Slow, Run: 1}); got != want || got.Slow < 990 {
		t.Errorf("window %+v, want %+v", got, want)
	}
}

// TestEpochsComeRound: after 2^30 epochs the next is 0 again, and an earlier permit is still known.
func TestEpochsComeRound(t *testing.T) {
	cfg := slowRule(8 * time.Millisecond)
	cfg.SlowCallRateThreshold, cfg.WindowDuration, cfg.MinimumNumberOfCalls = Whole, MaxDuration, MaxCount
	r := newRig(t, cfg)
	b := r.engine.Breaker(keyA)
	b.lock(r.now)
	b.epochs.current = epochMask
	b.unlock()
	first := r.admit()
	r.after(2 * time.Millisecond)
	second := r.admit()
	if r.status(); b.epochs.current != 0 {
		t.Fatalf("epoch %d, want 0", b.epochs.current)
	}
	first.Done(Failure, r.now)
	second.Done(Failure, r.now)
	if got, want := r.status(), (WindowCounts{Calls: 2, Failures: 2, Run: 2}); got.Window != want || got.InFlight != 0 {
		t.Errorf("window %+v with %d in flight, want %+v and none", got.Window, got.InFlight, want)
	}
}

// TestStripingKeepsWhatIsInFlight: permits of the first cell are resolved there, and
// failures, slow calls and transitions count for all stripes at once.
func TestStripingKeepsWhatIsInFlight(t *testing.T) {
	cfg := runRule(3)
	r := newRig(t, cfg)
	r.call(Success)
	before := r.admit()
	b := r.striped()
	after := r.admit()
	before.Done(Success, r.now)
	after.Done(Success, r.now)
	r.call(Failure, Failure)
	late := r.admit()
	r.call(Failure)
	r.want(Edge{Closed, Open, ConsecutiveFailures})
	for c := range b.cells {
		if phase := c.word.Load() >> phaseShift; phase != rejecting && c != &b.cell || phase == calm {
			t.Errorf("a cell is in phase %d, want rejecting in all stripes", phase)
		}
	}
	late.Done(Success, r.now)
	if got, want := r.status(), (Counts{Requests: 7, Successes: 4, Failures: 3}); got.Counts != want || got.InFlight != 0 {
		t.Errorf("counts %+v with %d in flight, want %+v and none", got.Counts, got.InFlight, want)
	}
}

// TestCollisionsLeadToStripes: several goroutines use one breaker, and no call is lost on the way.
func TestCollisionsLeadToStripes(t *testing.T) {
	r := newRig(t, DefaultConfig())
	b := r.engine.Breaker(keyA)
	end := time.Now().Add(30 * time.Second)
	calls := uint64(0)
	for b.striped.Load() == nil {
		if time.Now().After(end) {
			t.Fatalf("%d collisions in %d calls of 8 goroutines", b.collisions.Load(), calls)
		}
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 10_000 {
					p, _ := b.Acquire(r.now)
					p.Done(Success, r.now)
				}
			})
		}
		all.Wait()
		calls += 80_000
		if got := r.status(); got.Counts != (Counts{Requests: calls, Successes: calls}) || got.InFlight != 0 {
			t.Fatalf("counts %+v with %d in flight after %d calls", got.Counts, got.InFlight, calls)
		}
	}
}

// TestRule2LateCallsOfManySlices: after a long generation, the next one does not take the
// calls of its last slices for its own.
func TestRule2LateCallsOfManySlices(t *testing.T) {
	cfg := runRule(1)
	cfg.SlowCallDurationThreshold, cfg.SlowCallRateThreshold, cfg.SuccessThreshold = time.Second, Whole, 1
	cfg.MinimumNumberOfCalls = MaxCount
	r := newRig(t, cfg)
	var late []*Permit
	for range 100 {
		late = append(late, r.admit())
		r.after(200 * time.Millisecond)
		r.status()
	}
	r.call(Failure)
	r.after(cfg.WaitDurationInOpenState)
	r.call(Success)
	r.want(Edge{HalfOpen, Closed, ProbesSucceeded})
	for i, p := range late {
		p.Done(Failure, r.now)
		if got := r.status(); got.State != Closed || got.Window != (WindowCounts{}) || got.InFlight != uint64(len(late)-i-1) {
			t.Fatalf("late call %d of %d: %s with window %+v and %d in flight, want that it changes nothing", i+1, len(late), got.State, got.Window, got.InFlight)
		}
	}
}
