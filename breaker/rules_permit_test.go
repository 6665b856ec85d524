package breaker

import (
	"testing"
	"time"
)

// upload begins a call whose request has not ended; it must be admitted.
func (r *rig) upload() *Permit {
	r.t.Helper()
	p, d := r.engine.Breaker(keyA).AcquireUploading(r.now)
	if !d.Admitted {
		r.t.Fatalf("rejected in state %s, want admitted", d.State)
	}
	return &p
}

// wantAfter checks the calls in flight, the window and the totals.
func (r *rig) wantAfter(what string, inFlight uint64, w WindowCounts, c Counts) {
	r.t.Helper()
	if got := r.status(); got.InFlight != inFlight || got.Window != w || got.Counts != c {
		r.t.Errorf("%s: %d in flight with window %+v and counts %+v, want %d, %+v and %+v", what, got.InFlight, got.Window, got.Counts, inFlight, w, c)
	}
}

// TestAbandonedCalls: a call that was slow counts as a slow call that neither failed nor
// succeeded, and any other is ignored.
func TestAbandonedCalls(t *testing.T) {
	cfg := slowRule(2 * time.Second)
	cfg.MinimumNumberOfCalls = 10
	eachWindow(t, cfg, func(t *testing.T, r *rig) {
		r.call(Failure, Failure, Abandoned)
		r.wantAfter("fast", 0, WindowCounts{Calls: 2, Failures: 2, Run: 2}, Counts{Requests: 3, Failures: 2, Ignored: 1})
		slow := r.admit()
		r.after(2 * time.Second)
		slow.Done(Abandoned, r.now)
		r.wantAfter("slow", 0, WindowCounts{Calls: 3, Failures: 2, Slow: 1, Run: 2}, Counts{Requests: 4, Failures: 2, Ignored: 2, Slow: 1})
		r.call(Failure)
		r.wantAfter("the run goes on", 0, WindowCounts{Calls: 4, Failures: 3, Slow: 1, Run: 3}, Counts{Requests: 5, Failures: 3, Ignored: 2, Slow: 1})
	})
	r := newRig(t, runRule(0))
	p := r.admit()
	r.after(time.Hour)
	p.Done(Abandoned, r.now)
	if got := r.status().Counts; got.Slow != 1 || got.Ignored != 1 || got.Successes != 0 {
		t.Errorf("counts %+v, want one that is slow and ignored", got)
	}
}

// TestAbandonedCallsTrip: a dead service is noticed even where its callers give up first.
func TestAbandonedCallsTrip(t *testing.T) {
	eachWindow(t, slowRule(2*time.Second), func(t *testing.T, r *rig) {
		for range 4 {
			r.wantState(Closed, 0)
			p := r.admit()
			r.after(2 * time.Second)
			p.Done(Abandoned, r.now)
		}
		r.want(Edge{Closed, Open, SlowCallRate})
	})
}

// TestAbandonedCallThatWasSlowInFlight: it stays in the window once, as the slow call that it
// was. Where the service took less time than the threshold, it does not stay.
func TestAbandonedCallThatWasSlowInFlight(t *testing.T) {
	cfg := slowRule(2 * time.Second)
	cfg.MinimumNumberOfCalls = 10
	eachWindow(t, cfg, func(t *testing.T, r *rig) {
		waited, uploaded := r.admit(), r.admit()
		r.after(3 * time.Second)
		r.wantAfter("in flight", 2, WindowCounts{Calls: 2, Slow: 2}, Counts{Requests: 2})
		waited.Done(Abandoned, r.now)
		r.wantAfter("abandoned", 1, WindowCounts{Calls: 2, Slow: 2}, Counts{Requests: 2, Ignored: 1, Slow: 1})
		uploaded.Settle(Abandoned, time.Second, r.now)
		r.wantAfter("not slow after all", 0, WindowCounts{Calls: 1, Slow: 1}, Counts{Requests: 2, Ignored: 2, Slow: 1})
	})
}

// TestSettleSaysHowLongItTook: whatever the time since the call began is.
func TestSettleSaysHowLongItTook(t *testing.T) {
	cfg := slowRule(2 * time.Second)
	cfg.MinimumNumberOfCalls = 10
	for _, o := range []Outcome{Success, Failure} {
		for took, slow := range map[time.Duration]uint64{0: 0, 2*time.Second - 1: 0, 2 * time.Second: 1} {
			for _, since := range []time.Duration{0, time.Second, 5 * time.Second} {
				eachWindow(t, cfg, func(t *testing.T, r *rig) {
					p := r.admit()
					r.after(since)
					p.Settle(o, took, r.now)
					p.Settle(Failure, 0, r.now)
					got := r.status()
					if got.Window.Calls != 1 || got.Window.Slow != slow || got.Counts.Slow != slow || got.Counts.Requests != 1 || got.InFlight != 0 {
						t.Errorf("%s of %s, %s after it began: %+v, want one call and %d slow", o, took, since, got, slow)
					}
				})
			}
		}
	}
}

// TestUploadingCallsAreNotSlow: they do not become slow in flight, and Advance does not have to
// look for them. They are slow when they are settled as slow.
func TestUploadingCallsAreNotSlow(t *testing.T) {
	eachWindow(t, slowRule(2*time.Second), func(t *testing.T, r *rig) {
		permits := []*Permit{r.upload(), r.upload(), r.upload(), r.upload()}
		if next, ok := r.engine.Advance(r.now); ok {
			t.Errorf("it waits until %d", next)
		}
		for range 10 {
			r.after(time.Second)
			r.wantAfter("uploading", 4, WindowCounts{}, Counts{Requests: 4})
		}
		other := r.admit()
		r.after(3 * time.Second)
		r.wantAfter("beside one that hangs", 5, WindowCounts{Calls: 1, Slow: 1}, Counts{Requests: 5})
		other.Done(Ignored, r.now)
		for i, p := range permits {
			p.Settle(Success, time.Duration(i)*time.Second, r.now)
			p.Settle(Failure, 0, r.now)
		}
		tr := r.want(Edge{Closed, Open, SlowCallRate})
		if want := (WindowCounts{Calls: 4, Slow: 2}); tr.Window != want {
			t.Errorf("window %+v, want %+v", tr.Window, want)
		}
		if got := r.status(); got.InFlight != 0 || got.Counts.Successes != 4 {
			t.Errorf("%d in flight and %d successes, want none and 4", got.InFlight, got.Counts.Successes)
		}
	})
}

// TestRule2UploadingCallsOfAnEarlierState: they are counted, and change no state.
func TestRule2UploadingCallsOfAnEarlierState(t *testing.T) {
	cfg := runRule(1)
	cfg.SuccessThreshold = 1
	r := newRig(t, cfg)
	old := r.upload()
	r.call(Failure)
	r.wantAfter("open", 1, WindowCounts{}, Counts{Requests: 2, Failures: 1})
	if p, d := r.engine.Breaker(keyA).AcquireUploading(r.now); d.Admitted || p != (Permit{}) || d.RetryAfter != cfg.WaitDurationInOpenState {
		t.Errorf("decision %+v with permit %+v, want that it is rejected", d, p)
	}
	r.after(cfg.WaitDurationInOpenState)
	r.upload().Settle(Success, 0, r.now)
	r.want(Edge{HalfOpen, Closed, ProbesSucceeded})
	old.Settle(Failure, 0, r.now)
	r.wantState(Closed, 3)
	r.wantAfter("closed", 0, WindowCounts{}, Counts{Requests: 4, Rejected: 1, Successes: 1, Failures: 2})
	r.upload().Settle(Failure, 0, r.now)
	r.want(Edge{Closed, Open, ConsecutiveFailures})
}

// TestRule9UploadingCallsThatWouldHaveBeenRejected: they are admitted and counted, and not judged.
func TestRule9UploadingCallsThatWouldHaveBeenRejected(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Mode = MetricsOnly
	r := openRig(t, cfg)
	p := r.upload()
	r.after(cfg.WaitDurationInOpenState)
	r.wantState(HalfOpen, 2)
	p.Settle(Failure, 0, r.now)
	r.wantState(HalfOpen, 2)
	if got := r.status(); got.Counts.WouldReject != 1 || got.Counts.Failures != 4 || got.InFlight != 0 {
		t.Errorf("%+v, want one that would have been rejected, and failed", got)
	}
}

// TestAnswered: a call that was answered does not become slow by going on, even where it had
// just been counted as slow in flight.
func TestAnswered(t *testing.T) {
	r := newRig(t, slowRule(2*time.Second))
	quick, late, uploading, hanging := r.admit(), r.admit(), r.upload(), r.admit()
	before := r.status().Counts
	r.after(time.Second)
	quick.Answered(r.now)
	quick.Answered(r.now)
	uploading.Answered(r.now)
	r.after(90 * time.Minute / 60)
	if got, want := r.status().Window.Slow, uint64(2); got != want {
		t.Errorf("%d slow calls in flight, want %d", got, want)
	}
	late.Answered(r.now)
	if got := r.status(); got.Window.Slow != 1 || got.InFlight != 4 || got.Counts != before {
		t.Errorf("%+v, want 1 slow of 4 calls in flight, and nothing counted", got)
	}
	for _, p := range []*Permit{quick, late, uploading} {
		p.Settle(Success, time.Millisecond, r.now)
	}
	hanging.Done(Success, r.now)
	hanging.Answered(r.now)
	if got := r.status(); got.Counts.Successes != 4 || got.Counts.Slow != 1 || got.InFlight != 0 {
		t.Errorf("%+v, want 4 successes, 1 of them slow", got)
	}
	old := r.admit()
	r.call(Failure, Failure, Failure, Failure, Failure)
	old.Answered(r.now)
	old.Done(Success, r.now)
	probes := halfOpenRig(t, 1, 1)
	probe := probes.admit()
	probe.Answered(probes.now)
	if got := probes.status().ProbesInFlight; got != 1 {
		t.Errorf("%d probes in flight, want 1 still", got)
	}
}
