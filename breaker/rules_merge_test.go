package breaker

import (
	"testing"
	"time"
)

// TestTakeOverAddsCounts: the counts of both engines are in the window, each at its time or, where it is
// count-based, in its order.
func TestTakeOverAddsCounts(t *testing.T) {
	timed := DefaultConfig()
	timed.ConsecutiveFailures, timed.MinimumNumberOfCalls = 0, 100
	r := newRig(t, timed)
	r.call(Failure, Failure, Failure)
	r.after(6 * time.Second)
	r.call(Failure, Success)
	h := r.holding()
	next := r.beside(timed)
	next.call(Failure, Success, Success)
	next.take(&h, 0)
	next.wantWindow(WindowCounts{Calls: 8, Failures: 5})
	next.after(5 * time.Second)
	next.wantWindow(WindowCounts{Calls: 5, Failures: 2})
	next.after(6 * time.Second)
	next.wantWindow(WindowCounts{})

	counted := timed
	counted.WindowSize, counted.WindowDuration, counted.MinimumNumberOfCalls, counted.FailureRateThreshold = 5, 0, 5, Whole
	r = newRig(t, counted)
	r.call(Success, Failure, Success)
	h = r.holding()
	next = r.beside(counted)
	next.call(Failure, Failure, Failure)
	next.take(&h, 0)
	for _, want := range []uint64{4, 3, 3, 2, 1, 0} { // failures leave in the order in which they came
		next.wantWindow(WindowCounts{Calls: 5, Failures: want, Run: next.status().Window.Run})
		next.call(Success)
	}
}

func (r *rig) wantWindow(want WindowCounts) {
	r.t.Helper()
	if got := r.status().Window; got != want {
		r.t.Fatalf("window %+v, want %+v", got, want)
	}
}

// TestTakeOverAddsCountsOfAForcedState: both engines know that an operator has forced it closed, and since when.
func TestTakeOverAddsCountsOfAForcedState(t *testing.T) {
	r := newRig(t, runRule(1))
	o := r.force(Closed, time.Hour)
	r.call(Failure, Success)
	since := r.now
	r.after(time.Second)
	h := r.holding()
	next := r.beside(runRule(1))
	next.force(Closed, time.Hour-time.Second)
	next.call(Failure)
	if next.status().Override == h.Override || *next.status().Override != o {
		t.Fatalf("override %+v, want another one that is equal to %+v", next.status().Override, o)
	}
	next.take(&h, 0)
	next.wantWindow(WindowCounts{Calls: 3, Failures: 2, Run: 1})
	if got := next.status(); got.Since != since {
		t.Errorf("forced since %d, want %d", got.Since, since)
	}
}

// TestTakeOverTripsByCountsOfBoth: neither engine alone has enough of them.
func TestTakeOverTripsByCountsOfBoth(t *testing.T) {
	for name, cfg := range map[string]Config{"run": runRule(5), "rate": rateRule(6_000, 5)} {
		r := newRig(t, cfg)
		r.call(Failure, Failure)
		h := r.holding()
		next := r.beside(cfg)
		next.call(Failure, Failure, Failure)
		next.wantState(Closed, 0)
		next.take(&h, 0)
		reason := map[string]Reason{"run": ConsecutiveFailures, "rate": FailureRate}[name]
		if tr := next.want(Edge{Closed, Open, reason}); tr.Window.Failures != 5 || len(next.transitions) != 1 {
			t.Errorf("%s: %+v, want one transition with five failures", name, next.transitions)
		}
	}
}

// TestTakeOverTripsByAnOldRun: the failures of the run may have left the window of the next owner.
func TestTakeOverTripsByAnOldRun(t *testing.T) {
	cfg := runRule(5)
	next := newRig(t, cfg)
	next.call(Failure, Failure, Failure)
	next.after(cfg.WindowDuration + time.Second)
	next.wantWindow(WindowCounts{Run: 3})
	r := next.beside(cfg)
	r.call(Failure, Failure)
	h := r.holding()
	next.take(&h, 0)
	next.want(Edge{Closed, Open, ConsecutiveFailures})
}

// TestTakeOverDoesNotJudgeAgain: the failure rate grows when successes leave the window. The breaker judges
// only when a call ends, before a handover and after it.
func TestTakeOverDoesNotJudgeAgain(t *testing.T) {
	cfg := rateRule(5_000, 2)
	r := newRig(t, cfg)
	r.call(repeat(Success, 4)...)
	r.after(5 * time.Second)
	r.call(Failure, Failure)
	r.after(6 * time.Second)
	r.wantWindow(WindowCounts{Calls: 2, Failures: 2, Run: 2})
	next := r.handOver(cfg, 0)
	next.wantState(Closed, 0)
	next.call(Failure)
	next.want(Edge{Closed, Open, FailureRate})
}

// TestTakeOverRuns: the run of failures of both engines is as long as it would be in one engine.
func TestTakeOverRuns(t *testing.T) {
	at := func(o Outcome, ms int) Reported {
		return Reported{Outcome: o, At: epoch.Add(time.Duration(ms) * time.Millisecond), Generation: 1}
	}
	sampled := func(o Outcome, ms int) Reported { r := at(o, ms); r.OneIn = 10; return r }
	calls := func(o ...Outcome) func(*rig) { return func(r *rig) { r.call(o...) } }
	reports := func(o ...Reported) func(*rig) { return func(r *rig) { r.report(o...) } }
	for _, tt := range []struct {
		name          string
		giver, taker  func(*rig)
		run           uint32
		oneIn, exact  uint32
		since, broken Instant
	}{
		{"permits, no success", calls(Success, Failure, Failure), calls(Failure), 3, 0, 0, 0, 0},
		{"permits, a success first", calls(Failure, Failure), calls(Success, Failure), 1, 0, 0, 0, 0},
		{"permits, a success within", calls(Failure, Failure), calls(Failure, Success, Failure), 1, 0, 0, 0, 0},
		{"permits, a success last", calls(Failure, Failure), calls(Success), 0, 0, 0, 0, 0},
		{"permits, an ignored call", calls(Failure, Failure), calls(Ignored, Failure), 3, 0, 0, 0, 0},
		{"reports, no success", reports(at(Success, 1), at(Failure, 2)), reports(at(Failure, 3)), 2, 0, 2, at(0, 2).At, at(0, 1).At},
		{"reports, a success within", reports(at(Failure, 2)), reports(at(Success, 3), at(Failure, 4)), 1, 0, 1, at(0, 4).At, at(0, 3).At},
		{"reports, an earlier success", reports(at(Failure, 5)), reports(at(Success, 3), at(Failure, 6)), 2, 0, 2, at(0, 5).At, at(0, 3).At},
		{"reports, a later success elsewhere", reports(at(Success, 7)), reports(at(Failure, 3), at(Failure, 4)), 0, 0, 0, 0, at(0, 7).At},
		{"reports, a success at the same time elsewhere", reports(at(Success, 3)), reports(at(Failure, 3)), 0, 0, 0, 0, at(0, 3).At},
		{"reports, a success and a failure later elsewhere", reports(at(Success, 7), at(Failure, 8)), reports(at(Failure, 3)), 1, 0, 1, at(0, 8).At, at(0, 7).At},
		{"reports, from samples", reports(sampled(Failure, 2), at(Failure, 3)), reports(at(Failure, 4)), 3, 10, 2, at(0, 2).At, 0},
		{"reports, samples last", reports(at(Failure, 2)), reports(sampled(Failure, 3), at(Failure, 4)), 3, 10, 1, at(0, 2).At, 0},
		{"reports, then permits", reports(at(Failure, 2)), calls(Failure), 2, 0, 2, 0, 0},
		{"reports, then a success by a permit", reports(at(Failure, 2)), calls(Success, Failure), 1, 0, 1, 0, 0},
		{"permits, then reports", calls(Failure), reports(at(Failure, 12)), 2, 0, 2, 0, 0},
		{"permits, then a reported success", calls(Failure), reports(at(Success, 12), at(Failure, 13)), 1, 0, 1, at(0, 13).At, at(0, 12).At},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := runRule(100)
			r := newRig(t, cfg)
			r.after(20 * time.Millisecond)
			tt.giver(r)
			h := r.holding()
			next := r.beside(cfg)
			tt.taker(next)
			next.take(&h, 0)
			got := next.holding().Run
			want := Run{Failures: tt.run, Reported: got.Reported, OneIn: tt.oneIn, Exact: tt.exact, Since: tt.since, Broken: tt.broken}
			if got != want {
				t.Errorf("run %+v, want %+v", got, want)
			}
		})
	}
}

// TestTakeOverKeepsWhatIsTakenBack: a success that the engine before has counted is taken back, unless a
// success that came since hides it.
func TestTakeOverKeepsWhatIsTakenBack(t *testing.T) {
	cfg := runRule(100)
	for _, own := range []bool{false, true} {
		r := newRig(t, cfg)
		r.call(Failure, Success)
		r.report(Reported{Outcome: Failure, At: r.now, Corrects: true, Settled: r.now.Add(-time.Minute)}) // from now on it remembers
		r.call(Success, Failure)
		settled := r.now
		r.after(time.Second)
		h := r.holding()
		next := r.beside(cfg)
		want := uint32(3)
		if own {
			next.call(Success)
			want = 1
		}
		next.take(&h, 0)
		next.report(Reported{Outcome: Failure, At: next.now, Corrects: true, Settled: settled})
		if got := next.status().Window.Run; got != want {
			t.Errorf("%t: a run of %d, want %d", own, got, want)
		}
	}
}

// TestTakeOverFromAnEarlierTime: the next engine's clock began when the calls had ended already.
func TestTakeOverFromAnEarlierTime(t *testing.T) {
	cfg := runRule(100)
	r := newRig(t, cfg)
	for range 9 {
		r.call(Failure)
		r.after(time.Second)
	}
	h := r.holding()
	next := newRig(t, cfg)
	next.now = 1
	next.engine = NewEngine(Options{})
	next.apply(cfg)
	for i := range h.Window {
		h.Window[i].At += next.now - r.now
	}
	next.take(&h, 0)
	next.wantWindow(WindowCounts{Calls: 9, Failures: 9, Run: 9})
	next.report(Reported{Outcome: Failure, At: next.now.Add(-4500 * time.Millisecond), Generation: 1})
	next.wantWindow(WindowCounts{Calls: 10, Failures: 10, Run: 10})
	next.after(5 * time.Second)
	if got := next.status().Window.Failures; got < 4 || got > 6 { // two of them are between nine and ten seconds old
		t.Errorf("%d failures are left after 5 s, want 4 to 6", got)
	}
	next.after(6 * time.Second)
	next.wantWindow(WindowCounts{Run: 10})
}

// TestCallsInFlightAfterAHandover: the program that makes them reports them as running when they have become slow, and
// as early when they end.
func TestCallsInFlightAfterAHandover(t *testing.T) {
	cfg := slowRule(time.Second)
	cfg.MinimumNumberOfCalls, cfg.SlowCallRateThreshold = 100, Whole
	for _, size := range []uint32{0, 20} {
		if cfg.WindowSize = size; size > 0 {
			cfg.WindowDuration = 0
		}
		r := newRig(t, cfg)
		slow := r.admit()
		r.after(2 * time.Second)
		r.wantWindow(WindowCounts{Calls: 1, Slow: 1})
		r.admit()
		generation := r.status().Generation
		next := r.handOver(cfg, 0)
		next.wantWindow(WindowCounts{Calls: 1, Slow: 1})
		next.after(time.Second)
		next.report(Reported{At: next.now, Lasted: time.Second, Duration: time.Second, Running: true, Generation: generation})
		next.wantWindow(WindowCounts{Calls: 2, Slow: 2})
		next.report(Reported{At: next.now, Outcome: Success, Lasted: 3 * time.Second, Early: true, Generation: generation})
		next.wantWindow(WindowCounts{Calls: 2, Slow: 1})
		slow.Done(Success, r.now)
		r.wantWindow(WindowCounts{})
	}
}

// TestTakeOverOfAPlainBreakerIsCheap: a breaker that was always closed needs no memory for a past.
func TestTakeOverOfAPlainBreakerIsCheap(t *testing.T) {
	r := situations["closed"](t)
	next := r.handOver(*r.status().Config, r.now)
	if b := next.engine.Breaker(keyA); b.past != nil {
		t.Errorf("past %+v, want none", b.past)
	}
	waits := r.beside(*next.status().Config)
	h := next.holding()
	waits.take(&h, r.now+1)
	if b := waits.engine.Breaker(keyA); b.past == nil {
		t.Error("it has forgotten that no probe is admitted before an instant")
	}
}
