package breaker

import (
	"testing"
	"time"
)

// running is the news that a call has not ended after a time, all of which the service took.
func (r *rig) running(began Instant) Reported {
	lasted := r.now.Sub(began)
	return Reported{Running: true, At: r.now, Lasted: lasted, Duration: lasted}
}

// ended is the outcome of a call that was reported while it was running.
func (r *rig) ended(o Outcome, began Instant) Reported {
	lasted := r.now.Sub(began)
	return Reported{Early: true, Outcome: o, At: r.now, Lasted: lasted, Duration: lasted, OneIn: 64}
}

// TestRule4ReportedCallsTripWhileTheyHang: the calls that proxies report as running count in the
// window when they are slow, and in the totals when they have ended, once.
func TestRule4ReportedCallsTripWhileTheyHang(t *testing.T) {
	eachWindow(t, slowRule(2*time.Second), func(t *testing.T, r *rig) {
		began := r.now
		r.report(Reported{At: r.now}, Reported{At: r.now})
		r.after(2*time.Second - 1)
		r.report(r.running(began), r.running(began)) // not slow yet
		r.after(1)
		r.report(r.running(began))
		r.wantState(Closed, 0)
		r.report(r.running(began))
		tr := r.want(Edge{Closed, Open, SlowCallRate})
		if want := (WindowCounts{Calls: 4, Slow: 2}); tr.Window != want {
			t.Errorf("window %+v, want %+v", tr.Window, want)
		}
		if got, want := r.status().Counts, (Counts{Requests: 2, Successes: 2}); got != want {
			t.Errorf("counts %+v while the calls hang, want %+v", got, want)
		}
		r.after(8 * time.Second)
		r.report(r.ended(Timeout, began), r.ended(Timeout, began))
		if got, want := r.status().Counts, (Counts{Requests: 4, Successes: 2, Failures: 2, Timeouts: 2, Slow: 2}); got != want {
			t.Errorf("counts %+v when the calls have ended, want %+v", got, want)
		}
		r.wantState(Open, 1)
	})
}

// TestReportedRunningCallSettles: when it has ended, the window counts it as what it was, in
// place of the slow call.
func TestReportedRunningCallSettles(t *testing.T) {
	for o, want := range map[Outcome]WindowCounts{
		Success:   {Calls: 2, Failures: 1, Slow: 1},
		Failure:   {Calls: 2, Failures: 2, Slow: 1, Run: 2},
		Timeout:   {Calls: 2, Failures: 2, Slow: 1, Run: 2},
		Ignored:   {Calls: 1, Failures: 1, Run: 1},
		Abandoned: {Calls: 2, Failures: 1, Slow: 1, Run: 1},
	} {
		cfg := slowRule(2 * time.Second)
		cfg.MinimumNumberOfCalls = 10
		eachWindow(t, cfg, func(t *testing.T, r *rig) {
			began := r.now
			r.report(Reported{Outcome: Failure, At: r.now})
			r.after(3 * time.Second)
			r.report(r.running(began))
			if got, early := r.status().Window, (WindowCounts{Calls: 2, Failures: 1, Slow: 1, Run: 1}); got != early {
				t.Errorf("window %+v while it hangs, want %+v", got, early)
			}
			r.after(time.Second)
			r.report(r.ended(o, began))
			if got := r.status().Window; got != want {
				t.Errorf("window %+v after %s, want %+v", got, o, want)
			}
		})
	}
}

// TestReportedRunningCallsCountAtTheirOwnTime: news that comes late counts in the part of the
// window in which it was seen, and so does the outcome.
func TestReportedRunningCallsCountAtTheirOwnTime(t *testing.T) {
	cfg := slowRule(2 * time.Second)
	cfg.MinimumNumberOfCalls = 100
	r := newRig(t, cfg)
	r.after(time.Minute)
	slow := func(ago time.Duration) Reported {
		return Reported{Running: true, At: r.now.Add(-ago), Lasted: 2 * time.Second, Duration: 2 * time.Second}
	}
	r.report(slow(11*time.Second), slow(6*time.Second), slow(0))
	if got := r.status().Window.Slow; got != 2 {
		t.Fatalf("%d slow calls, want those of the last ten seconds", got)
	}
	ended := r.ended(Failure, r.now.Add(-9*time.Second))
	ended.At = r.now.Add(-5 * time.Second)
	r.report(ended) // in place of the older one
	if got, want := r.status().Window, (WindowCounts{Calls: 2, Failures: 1, Slow: 2, Run: 1}); got != want {
		t.Errorf("window %+v, want %+v", got, want)
	}
	r.after(6 * time.Second)
	if got, want := r.status().Window, (WindowCounts{Calls: 1, Slow: 1, Run: 1}); got != want {
		t.Errorf("window %+v when the failure has left it, want %+v", got, want)
	}
}

// TestRule2RunningCallsOfAnEarlierState: neither the news that a call is slow nor its end
// changes a state that began after the call.
func TestRule2RunningCallsOfAnEarlierState(t *testing.T) {
	cfg := slowRule(2 * time.Second)
	cfg.ConsecutiveFailures, cfg.SuccessThreshold, cfg.MinimumNumberOfCalls = 1, 1, 10
	r := newRig(t, cfg)
	old := r.now
	r.call(Failure)
	r.report(r.running(old))
	r.after(cfg.WaitDurationInOpenState)
	r.wantState(HalfOpen, 2)
	r.report(r.running(old))
	r.call(Success)
	r.want(Edge{HalfOpen, Closed, ProbesSucceeded})
	own := r.now
	r.after(3 * time.Second)
	r.report(r.running(old), r.running(own), r.ended(Timeout, old))
	if got, want := r.status().Window, (WindowCounts{Calls: 1, Slow: 1}); got != want {
		t.Errorf("window %+v, want that of the one call of this state %+v", got, want)
	}
}
