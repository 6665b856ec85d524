package breaker

import (
	"testing"
	"time"
)

func TestOpenRejectsAndSaysForHowLong(t *testing.T) {
	r := openRig(t, DefaultConfig())
	for _, tt := range []struct{ after, want time.Duration }{
		{0, 30 * time.Second},
		{29 * time.Second, time.Second},
		{time.Second - 1, 1},
	} {
		r.after(tt.after)
		if got, want := r.reject(), (Decision{State: Open, RetryAfter: tt.want}); got != want {
			t.Errorf("decision %+v, want %+v", got, want)
		}
		if got := r.status().RetryAfter; got != tt.want {
			t.Errorf("status says retry after %s, want %s", got, tt.want)
		}
	}
	if got := r.status().Counts.Rejected; got != 3 {
		t.Errorf("%d rejected, want 3", got)
	}
	if got := r.status().Window; got != (WindowCounts{}) {
		t.Errorf("window %+v, want none while open", got)
	}
}

// TestOpenEndsWhenItsWaitIsOver: it is noticed by a call, a reader or Advance, whichever
// comes first.
func TestOpenEndsWhenItsWaitIsOver(t *testing.T) {
	for name, come := range map[string]func(r *rig){
		"call":   func(r *rig) { r.admit() },
		"status": func(r *rig) { r.status() },
		"advance": func(r *rig) {
			if next, ok := r.engine.Advance(r.now); !ok || next != r.now.Add(60*time.Second) {
				r.t.Errorf("next at %d, %t; want the end of half-open at %d", next, ok, r.now.Add(60*time.Second))
			}
		},
		"late outcome": func(r *rig) { r.lateOutcome() },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, runRule(3))
			r.stray = r.admit()
			r.call(Failure, Failure, Failure)
			r.after(30*time.Second - 1)
			r.reject()
			r.wantState(Open, 1)
			r.after(1)
			come(r)
			if len(r.transitions) != 2 {
				t.Fatalf("%d transitions, want 2", len(r.transitions))
			}
			tr := r.want(Edge{Open, HalfOpen, WaitOver})
			if tr.At != r.now || tr.Since != epoch || tr.Wait != 0 || tr.Window != (WindowCounts{}) {
				t.Errorf("transition %+v, want at %d, since %d, without wait and window", tr, r.now, epoch)
			}
		})
	}
}

// lateOutcome resolves a permit of an earlier generation.
func (r *rig) lateOutcome() {
	r.stray.Done(Failure, r.now)
}

// TestRule2LateOutcomesChangeNothing: outcomes of calls that began before the breaker opened
// are counted in the totals only.
func TestRule2LateOutcomesChangeNothing(t *testing.T) {
	cfg := runRule(3)
	cfg.SuccessThreshold = 1
	r := newRig(t, cfg)
	var late []*Permit
	for range 6 {
		late = append(late, r.admit())
	}
	r.call(Failure, Failure, Failure)
	r.want(Edge{Closed, Open, ConsecutiveFailures})
	late[0].Done(Success, r.now)
	late[1].Done(Failure, r.now)
	r.wantState(Open, 1)

	r.after(cfg.WaitDurationInOpenState)
	r.want(Edge{Open, HalfOpen, WaitOver})
	late[2].Done(Success, r.now)
	late[3].Done(Failure, r.now)
	r.wantState(HalfOpen, 2)
	if got := r.status().Window; got != (WindowCounts{}) {
		t.Errorf("late outcomes are in the window of half-open: %+v", got)
	}

	r.call(Success)
	r.want(Edge{HalfOpen, Closed, ProbesSucceeded})
	late[4].Done(Failure, r.now)
	late[5].Done(Ignored, r.now)
	if got := r.status().Window; got != (WindowCounts{}) {
		t.Errorf("late outcomes are in the new window: %+v", got)
	}
	want := Counts{Requests: 10, Successes: 3, Failures: 6, Slow: 3, Ignored: 1}
	if got := r.status().Counts; got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
}

// TestRule7LateFailuresDoNotExtendTheWait: nor do rejected calls.
func TestRule7LateFailuresDoNotExtendTheWait(t *testing.T) {
	cfg := runRule(1)
	r := newRig(t, cfg)
	late := r.admit()
	r.call(Failure)
	end := r.now.Add(cfg.WaitDurationInOpenState)
	r.after(cfg.WaitDurationInOpenState - time.Second)
	late.Done(Failure, r.now)
	r.reject()
	if next, ok := r.engine.Advance(r.now); !ok || next != end {
		t.Errorf("the wait ends at %d, %t; want %d", next, ok, end)
	}
	r.after(time.Second)
	r.want(Edge{Open, HalfOpen, WaitOver})
}
