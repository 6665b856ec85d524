package breaker

import (
	"testing"
	"time"
)

// broke returns the report on a call that succeeded at an instant and has broken now.
func (r *rig) broke(settled Instant) Reported {
	return Reported{Outcome: Failure, At: r.now, Lasted: r.now.Sub(settled), Corrects: true, Settled: settled}
}

// story makes calls in a row, an instant apart: an upper-case letter is a call that
// succeeds, and the same letter in lower case takes the success back. '-' is a failure, and
// '.' lets a second pass.
func (r *rig) story(story string) {
	r.t.Helper()
	settled := map[rune]Instant{}
	for _, c := range story {
		r.after(time.Millisecond)
		switch {
		case r.status().State != Closed:
			return
		case c == '.':
			r.after(time.Second)
		case c == '-':
			r.call(Failure)
		case c >= 'a':
			r.report(r.broke(settled[c-'a'+'A']))
		default:
			settled[c] = r.now
			r.call(Success)
		}
	}
}

// TestCorrectedRuns: they are as long as if there had been no success.
func TestCorrectedRuns(t *testing.T) {
	for _, tt := range []struct {
		name, story string
		run         uint32 // five trip
		trips       bool
	}{
		{"one after the other", "AaBbCcDdEe", 5, true},
		{"four", "AaBbCcDd", 4, false},
		{"together, none seen before", "ABCDEabcde", 5, true},
		{"in other order", "ABCDEecabd", 5, true},
		{"two at a time", "ABabCDcdEFe", 5, true},
		{"some at a time, all the while", "AaBCDbEcFdGe", 5, true},
		{"failures among them", "Aa-Bb-Cc", 5, true},
		{"a success that stays", "AaBbSCcDdEe", 3, false},
		{"a success that stays before them", "SAaBbCcDd", 4, false},
		{"a success that stays at the end", "AaBbCcDdS", 0, false},
		{"a success that stays after the last of them, and before it is known", "AaBbCcDdESe", 5, true},
		{"a success that stays among those that are together", "AaBbCSDcdEe", 2, false},
		{"a success long ago", "A....a....Bb....Cc....Dd....Ee", 5, true},
		{"taken back only after others", "AaBCDEFGHb", 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, runRule(5))
			r.story(tt.story)
			if !tt.trips {
				r.wantState(Closed, 0)
				if got := r.status().Window.Run; got != tt.run {
					t.Errorf("a run of %d, want %d", got, tt.run)
				}
				return
			}
			if tr := r.want(Edge{Closed, Open, ConsecutiveFailures}); tr.Window.Run != tt.run {
				t.Errorf("a run of %d tripped it, want %d", tr.Window.Run, tt.run)
			}
		})
	}
}

// TestCorrectedRunsOfABusyBreaker: successes need no lock before the first one is taken back,
// and from a minute after the last one was.
func TestCorrectedRunsOfABusyBreaker(t *testing.T) {
	cfg := runRule(3)
	cfg.MinimumNumberOfCalls = 1
	r := newRig(t, cfg)
	b := r.engine.Breaker(keyA)
	calm := func() bool { r.status(); return b.cell.word.Load()>>phaseShift == calm }
	r.call(repeat(Success, 100)...)
	if !calm() {
		t.Fatal("a breaker that never failed is not calm")
	}
	r.story("AaS")
	if calm() {
		t.Error("it is calm while successes are taken back")
	}
	r.after(time.Minute - time.Second)
	r.story("Bb")
	r.after(time.Minute - 1)
	r.call(Success)
	if calm() {
		t.Error("it is calm within a minute")
	}
	r.after(1)
	if !calm() {
		t.Error("it is not calm after a minute")
	}
	r.story("CcDdEe")
	r.want(Edge{Closed, Open, ConsecutiveFailures})
}

// TestCorrectedRunsRememberSoManySuccesses: where a success is forgotten, or was never
// remembered, only the failure counts.
func TestCorrectedRunsRememberSoManySuccesses(t *testing.T) {
	for others, want := range map[int]uint32{maxRecent - 1: 0, maxRecent: 1} {
		r := newRig(t, runRule(5))
		r.story("Aa")
		r.after(time.Millisecond)
		settled := r.now
		r.call(Success)
		for range others {
			r.after(time.Millisecond)
			r.call(Success)
		}
		r.report(r.broke(settled))
		if got := r.status().Window.Run; got != want {
			t.Errorf("a run of %d after %d other successes, want %d", got, others, want)
		}
	}
	r := newRig(t, runRule(2))
	r.call(Success)
	settled := r.now
	r.after(time.Second)
	r.story("AaS")
	r.report(r.broke(settled))
	r.wantState(Closed, 0)
	if got := r.status().Window.Run; got != 1 {
		t.Errorf("a run of %d, want 1: S is not the success that was taken back", got)
	}
}

// TestCorrectedSuccessIsFoundByItsTime: the time may be up to a second off.
func TestCorrectedSuccessIsFoundByItsTime(t *testing.T) {
	for off, want := range map[time.Duration]uint32{0: 4, time.Second: 4, time.Second + 1: 1, -5 * time.Millisecond: 4} {
		r := newRig(t, runRule(5))
		r.story("Aa.-S.")
		settled := r.now
		r.call(Success)
		r.after(5 * time.Second)
		r.report(r.broke(settled.Add(off)))
		r.report(r.broke(settled.Add(-time.Second - time.Millisecond))) // S
		if got := r.status().Window.Run; got != want {
			t.Errorf("%s off: a run of %d, want %d", off, got, want)
		}
	}
}

// TestCorrectedCallsInTheWindow: the success leaves its part of the window, and the
// failure is in the part of its own time.
func TestCorrectedCallsInTheWindow(t *testing.T) {
	cfg := rateRule(5_000, 100)
	cfg.SlowCallDurationThreshold = 2 * time.Second
	eachWindow(t, cfg, func(t *testing.T, r *rig) {
		settled := r.now
		slow := r.admit()
		slow.Settle(Success, 2*time.Second, r.now)
		r.call(Success, Success)
		r.after(5 * time.Second)
		told := r.broke(settled)
		r.report(told)
		r.wantAfter("corrected", 0, WindowCounts{Calls: 3, Failures: 1, Slow: 1, Run: 1}, Counts{Requests: 3, Successes: 2, Failures: 1, Slow: 1})
		told.Duration, told.Outcome = 2*time.Second, Timeout
		r.report(told)
		r.wantAfter("the slow one", 0, WindowCounts{Calls: 3, Failures: 2, Slow: 1, Run: 2}, Counts{Requests: 3, Successes: 1, Failures: 2, Timeouts: 1, Slow: 1})
		r.after(6 * time.Second)
		if r.status().Config.WindowSize == 0 {
			r.wantAfter("the successes have left", 0, WindowCounts{Calls: 2, Failures: 2, Slow: 1, Run: 2}, Counts{Requests: 3, Successes: 1, Failures: 2, Timeouts: 1, Slow: 1})
		}
	})
	eachWindow(t, cfg, func(t *testing.T, r *rig) {
		hung := r.admit()
		r.after(3 * time.Second)
		r.call(Failure)
		for range 3 { // there is no success to take: one call is in flight, the others have failed
			r.report(r.broke(r.now))
		}
		r.wantAfter("nothing to take", 1, WindowCounts{Calls: 5, Failures: 4, Slow: 1, Run: 4}, Counts{Requests: 5, Failures: 4})
		hung.Done(Success, r.now)
		r.wantAfter("it ends", 0, WindowCounts{Calls: 5, Failures: 4, Slow: 1}, Counts{Requests: 5, Failures: 4, Successes: 1, Slow: 1})
	})
}

// TestCorrectedCallsTripByRates: they trip like any failed calls, and are not counted twice.
func TestCorrectedCallsTripByRates(t *testing.T) {
	eachWindow(t, rateRule(5_000, 8), func(t *testing.T, r *rig) {
		r.call(repeat(Success, 8)...)
		for range 4 {
			r.wantState(Closed, 0)
			r.report(r.broke(r.now))
		}
		tr := r.want(Edge{Closed, Open, FailureRate})
		if want := (WindowCounts{Calls: 8, Failures: 4, Run: 4}); tr.Window != want {
			t.Errorf("window %+v, want %+v", tr.Window, want)
		}
	})
}

// TestCorrectedProbe: it is a failed probe. A call that was not a probe is not judged.
func TestCorrectedProbe(t *testing.T) {
	r := halfOpenRig(t, 2, 2)
	r.call(Success)
	told := r.broke(r.now)
	r.report(told)
	r.wantState(HalfOpen, 2)
	told.Probe = true
	r.report(told)
	tr := r.want(Edge{HalfOpen, Open, ProbeFailed})
	if want := (WindowCounts{Calls: 1, Failures: 1, Run: 1}); tr.Window != want {
		t.Errorf("window %+v, want %+v", tr.Window, want)
	}
}

// TestRule2CorrectionsOfAnEarlierState: they are only counted. The generation of the call
// decides where it is known, or else the time at which the call began.
func TestRule2CorrectionsOfAnEarlierState(t *testing.T) {
	cfg := DefaultConfig()
	cfg.SuccessThreshold, cfg.Mode = 1, MetricsOnly
	r := openRig(t, cfg)
	before := r.status().Counts
	told := r.broke(r.now)
	r.report(told)
	r.report(told)
	before.Requests, before.Failures = before.Requests+2, before.Failures+2
	r.wantAfter("open", 0, WindowCounts{}, before)
	r.after(cfg.WaitDurationInOpenState)
	told.Probe, told.At, told.Lasted = true, r.now, 1
	r.report(told)
	told.Lasted, told.Generation = 0, 2
	r.report(told)
	r.wantState(HalfOpen, 2)
	r.call(Success)
	r.want(Edge{HalfOpen, Closed, ProbesSucceeded})
	r.after(time.Second)
	told.At, told.Lasted, told.Generation = r.now, 2*time.Second, 0
	r.report(told, told)
	before.Requests, before.Failures = before.Requests+4, before.Failures+4
	r.wantAfter("closed", 0, WindowCounts{}, before)
	told.Generation = 4
	r.report(told)
	if got, want := r.status().Window, (WindowCounts{Calls: 1, Failures: 1, Run: 1}); got != want {
		t.Errorf("window %+v after one of this generation, want %+v", got, want)
	}
}

// TestCorrectionOfWhatWasIgnored: a call that did not count before counts as what it became.
func TestCorrectionOfWhatWasIgnored(t *testing.T) {
	cfg := slowRule(2 * time.Second)
	cfg.MinimumNumberOfCalls = 10
	eachWindow(t, cfg, func(t *testing.T, r *rig) {
		told := r.broke(r.now)
		told.Was = Ignored
		r.call(Ignored, Ignored, Ignored)
		r.report(told)
		r.wantAfter("a failure", 0, WindowCounts{Calls: 1, Failures: 1, Run: 1}, Counts{Requests: 3, Failures: 1, Ignored: 2})
		told.Outcome, told.Duration = Abandoned, 2*time.Second
		r.report(told)
		r.wantAfter("an abandoned call", 0, WindowCounts{Calls: 2, Failures: 1, Slow: 1, Run: 1}, Counts{Requests: 3, Failures: 1, Ignored: 2, Slow: 1})
		told.Outcome, told.Was = Timeout, Abandoned
		r.report(told)
		r.wantAfter("which timed out", 0, WindowCounts{Calls: 2, Failures: 2, Slow: 1, Run: 2}, Counts{Requests: 3, Failures: 2, Timeouts: 1, Ignored: 1, Slow: 1})
		told.Outcome, told.Was, told.Duration = Success, Ignored, 0
		r.report(told)
		r.wantAfter("a success", 0, WindowCounts{Calls: 3, Failures: 2, Slow: 1}, Counts{Requests: 3, Failures: 2, Timeouts: 1, Successes: 1, Slow: 1})
		for was, o := range map[Outcome]Outcome{Failure: Success, Timeout: Failure, Success: Abandoned} {
			told.Outcome, told.Was = o, was
			r.report(told)
		}
		r.wantAfter("nothing to correct", 0, WindowCounts{Calls: 3, Failures: 2, Slow: 1}, Counts{Requests: 3, Failures: 2, Timeouts: 1, Successes: 1, Slow: 1})
		if got, want := r.status().LastFailure, r.now; got != want {
			t.Errorf("the last failure was at %d, want %d", got, want)
		}
	})
	r := halfOpenRig(t, 1, 1)
	r.call(Ignored)
	told := r.broke(r.now)
	told.Was, told.Probe = Ignored, true
	r.report(told)
	r.want(Edge{HalfOpen, Open, ProbeFailed})

	r = halfOpenRig(t, 1, 1)
	slow := r.status().Config.SlowCallDurationThreshold
	r.admit().Settle(Abandoned, slow, r.now)
	told.At, told.Was, told.Duration = r.now, Abandoned, slow
	r.report(told)
	tr := r.want(Edge{HalfOpen, Open, ProbeFailed})
	if want := (WindowCounts{Calls: 1, Failures: 1, Slow: 1, Run: 1}); tr.Window != want {
		t.Errorf("window %+v, want the one call %+v", tr.Window, want)
	}
}

// TestCorrectedRunsAreJudgedOnce: a run that has ended, and in which successes may have gone
// unseen, does not trip the breaker later, when the rates have become better.
func TestCorrectedRunsAreJudgedOnce(t *testing.T) {
	r := newRig(t, runRule(20))
	r.story("Aa")
	sampled := func(o Outcome, n int, oneIn uint32) {
		r.after(time.Millisecond)
		for range n {
			r.report(Reported{Outcome: o, At: r.now, OneIn: oneIn})
		}
	}
	sampled(Failure, 10, 100)
	r.after(time.Millisecond)
	settled := r.now
	r.call(Success)
	sampled(Failure, 12, 100)
	r.after(time.Millisecond)
	r.call(Success)
	r.report(r.broke(settled))
	r.wantState(Closed, 0)
	sampled(Success, 1, 1_000)
	r.wantState(Closed, 0)
}
