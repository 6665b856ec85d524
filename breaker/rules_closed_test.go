package breaker

import (
	"testing"
	"time"
)

func TestClosedTripsOnConsecutiveFailures(t *testing.T) {
	for _, tt := range []struct {
		name     string
		rule     uint32
		outcomes []Outcome
		trips    bool // by the last outcome, not before
	}{
		{"one", 1, []Outcome{Failure}, true},
		{"as many as the threshold", 3, []Outcome{Failure, Failure, Failure}, true},
		{"one fewer", 3, []Outcome{Failure, Failure}, false},
		{"a timeout is a failure", 3, []Outcome{Timeout, Failure, Timeout}, true},
		{"a success ends the run", 3, []Outcome{Failure, Failure, Success, Failure, Failure}, false},
		{"after a success the run starts anew", 2, []Outcome{Failure, Success, Failure, Failure}, true},
		{"an ignored call does not end the run", 3, []Outcome{Failure, Failure, Ignored, Failure}, true},
		{"an ignored call is not in the run", 3, []Outcome{Failure, Ignored, Ignored, Failure}, false},
		{"the rule is off", 0, repeat(Failure, 100), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, runRule(tt.rule))
			last := len(tt.outcomes) - 1
			r.call(tt.outcomes[:last]...)
			r.wantState(Closed, 0)
			r.call(tt.outcomes[last])
			want := Closed
			if tt.trips {
				want = Open
			}
			if got := r.status().State; got != want {
				t.Errorf("state %s, want %s", got, want)
			}
		})
	}
}

// TestRule5ExactCountsAtTheBoundary: a rate that is exactly the threshold trips, by whole numbers.
func TestRule5ExactCountsAtTheBoundary(t *testing.T) {
	for _, tt := range []struct {
		name     string
		rate     Ratio
		minimum  uint32
		outcomes []Outcome
		trips    bool // by the last outcome, not before
	}{
		{"50% of 10 is 5", 5_000, 10, append(repeat(Failure, 5), repeat(Success, 5)...), true},
		{"4 of 10 is below 50%", 5_000, 10, append(repeat(Failure, 4), repeat(Success, 6)...), false},
		{"100% can be reached", Whole, 10, repeat(Failure, 10), true},
		{"99 of 100 is below 100%", Whole, 100, append(repeat(Failure, 99), Success), false},
		{"9 of 9 is below the minimum of 10", 5_000, 10, repeat(Failure, 9), false},
		{"a success makes the minimum", 5_000, 3, []Outcome{Failure, Failure, Success}, true},
		{"an ignored call does not make the minimum", 5_000, 3, []Outcome{Failure, Failure, Ignored}, false},
		{"33.33% of 3 is 1", 3_333, 3, []Outcome{Failure, Success, Success}, true},
		{"1 of 3 is below 33.34%", 3_334, 3, []Outcome{Failure, Success, Success}, false},
		{"0.01% of 10,000 is 1", 1, 10_000, append(repeat(Success, 9_999), Failure), true},
		{"the rule is off", 0, 1, repeat(Failure, 100), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, rateRule(tt.rate, tt.minimum))
			last := len(tt.outcomes) - 1
			r.call(tt.outcomes[:last]...)
			r.wantState(Closed, 0)
			r.call(tt.outcomes[last])
			if tt.trips {
				r.want(Edge{Closed, Open, FailureRate})
			} else {
				r.wantState(Closed, 0)
			}
		})
	}
}

// TestRule5ReadingAdvancesTheWindow: an hour without traffic does not show the
// last hour's failures.
func TestRule5ReadingAdvancesTheWindow(t *testing.T) {
	r := newRig(t, rateRule(5_000, 10))
	r.call(Failure, Failure, Success)
	if got, want := r.status().Window, (WindowCounts{Calls: 3, Failures: 2}); got != want {
		t.Errorf("window %+v, want %+v", got, want)
	}
	r.after(time.Hour)
	if got, want := r.status().Window, (WindowCounts{}); got != want {
		t.Errorf("window after an hour %+v, want %+v", got, want)
	}
	r.call(repeat(Failure, 9)...)
	r.wantState(Closed, 0)
}

// TestClosedRunOutlivesTheWindow: a run counts calls and knows no time, so that an upstream
// that is called once a minute can trip its breaker.
func TestClosedRunOutlivesTheWindow(t *testing.T) {
	r := newRig(t, runRule(3))
	for range 2 {
		r.call(Failure)
		r.after(time.Minute)
		r.wantState(Closed, 0)
	}
	if got, want := r.status().Window, (WindowCounts{Run: 2}); got != want {
		t.Errorf("window %+v, want %+v", got, want)
	}
	r.call(Failure)
	r.want(Edge{Closed, Open, ConsecutiveFailures})
}

// TestClosedTellsWhatTripped: the transition has the figures that caused it.
func TestClosedTellsWhatTripped(t *testing.T) {
	cfg := rateRule(5_000, 4)
	r := newRig(t, cfg)
	r.call(Success, Success, Failure)
	r.after(time.Second)
	r.call(Timeout)
	want := Transition{
		Key: keyA, Edge: Edge{Closed, Open, FailureRate}, Sequence: 1, Generation: 2, At: epoch.Add(time.Second), Since: epoch,
		Window: WindowCounts{Calls: 4, Failures: 2, Run: 2}, Wait: cfg.WaitDurationInOpenState, Openings: 1,
	}
	if got := r.want(want.Edge); got != want {
		t.Errorf("transition\n%+v, want\n%+v", got, want)
	}
}

// TestClosedOutcomesCountWhenTheyAreKnown: a call counts at the time of its
// outcome, not of its beginning.
func TestClosedOutcomesCountWhenTheyAreKnown(t *testing.T) {
	r := newRig(t, rateRule(5_000, 10))
	slow := r.admit()
	r.after(time.Minute)
	slow.Done(Failure, r.now)
	if got, want := r.status().Window, (WindowCounts{Calls: 1, Failures: 1, Slow: 1, Run: 1}); got != want {
		t.Errorf("window %+v, want %+v", got, want)
	}
}

// TestRule3ResolvingTwiceIsResolvingOnceWhileClosed; half-open has a test of its own.
func TestRule3ResolvingTwiceIsResolvingOnceWhileClosed(t *testing.T) {
	r := newRig(t, runRule(2))
	p := r.admit()
	p.Done(Failure, r.now)
	p.Done(Failure, r.now)
	p.Done(Success, r.now)
	r.wantState(Closed, 0)
	if got, want := r.status().Counts, (Counts{Requests: 1, Failures: 1}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
}

func TestZeroPermitDoesNothing(t *testing.T) {
	r := newRig(t, runRule(1))
	var p Permit
	p.Done(Failure, r.now)
	if got := r.status().Counts; got != (Counts{}) {
		t.Errorf("counts %+v, want none", got)
	}
}

func TestCountsByOutcome(t *testing.T) {
	r := newRig(t, runRule(0))
	r.call(Success, Success, Success, Failure, Failure, Timeout, Ignored)
	r.admit()
	if got, want := r.status().Counts, (Counts{Requests: 8, Successes: 3, Failures: 3, Timeouts: 1, Ignored: 1}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	r.after(time.Second)
	r.call(Success, Ignored)
	if got := r.status().LastFailure; got != epoch {
		t.Errorf("last failure at %d, want %d", got, epoch)
	}
	r.call(Timeout)
	if got := r.status().LastFailure; got != r.now {
		t.Errorf("last failure at %d, want %d", got, r.now)
	}
}
