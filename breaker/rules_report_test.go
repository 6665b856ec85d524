package breaker

import (
	"math/rand/v2"
	"testing"
	"time"
)

// report reports outcomes now.
func (r *rig) report(outcomes ...Reported) { r.engine.Report(keyA, outcomes, r.now) }

// reported returns n outcomes of calls that ended that long ago.
func (r *rig) reported(o Outcome, ago time.Duration, n int) []Reported {
	all := make([]Reported, n)
	for i := range all {
		all[i] = Reported{Outcome: o, At: r.now.Add(-ago)}
	}
	return all
}

// TestReportCountsAtItsOwnTime: an outcome that comes late counts in the part of the window in
// which its call ended, or not at all.
func TestReportCountsAtItsOwnTime(t *testing.T) {
	r := newRig(t, rateRule(Whole, 100))
	r.after(time.Minute)
	r.report(r.reported(Failure, 9*time.Second, 4)...)
	r.report(r.reported(Failure, 11*time.Second, 5)...)
	r.report(r.reported(Failure, -time.Hour, 6)...) // a clock that is ahead
	if got := r.status(); got.Window.Failures != 10 || got.Counts.Failures != 15 || got.LastFailure != r.now {
		t.Errorf("%d failures in the window and %d in all, the last at %d; want 10, 15 and %d", got.Window.Failures, got.Counts.Failures, got.LastFailure, r.now)
	}
	r.after(2 * time.Second)
	if got := r.status().Window.Failures; got != 6 {
		t.Errorf("%d failures in the window two seconds later, want 6", got)
	}
}

// TestRule2ReportsOfAnEarlierStateChangeNothing: their generation decides where it is known,
// or else their time.
func TestRule2ReportsOfAnEarlierStateChangeNothing(t *testing.T) {
	r := openRig(t, DefaultConfig())
	r.report(r.reported(Failure, 0, 100)...)
	r.wantState(Open, 1)
	r.after(30 * time.Second)
	r.report(r.reported(Success, 0, 100)...)
	r.report(r.reported(Failure, 0, 100)...)
	r.wantState(HalfOpen, 2)
	r.call(Success, Success, Success)
	r.want(Edge{HalfOpen, Closed, ProbesSucceeded})
	r.after(time.Second)
	generation := r.status().Generation
	for name, o := range map[string]Reported{
		"before it closed":   {Outcome: Failure, At: r.now.Add(-2 * time.Second)},
		"earlier generation": {Outcome: Failure, At: r.now, Generation: generation - 1},
		"ignored":            {Outcome: Ignored, At: r.now, Generation: generation},
	} {
		r.report(o, o, o, o, o, o, o, o, o, o)
		if got := r.status(); got.State != Closed || got.Window != (WindowCounts{}) {
			t.Errorf("%s: %s with window %+v, want closed and nothing", name, got.State, got.Window)
		}
	}
	r.report(Reported{Outcome: Failure, At: r.now.Add(-2 * time.Second), Generation: generation}, Reported{Outcome: Failure, At: r.now})
	if got, want := r.status().Window, (WindowCounts{Calls: 2, Failures: 2, Run: 2}); got != want {
		t.Errorf("window %+v, want %+v", got, want)
	}
	want := Counts{Requests: 338, Successes: 103, Failures: 225, Timeouts: 1, Ignored: 10}
	if got := r.status().Counts; got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
}

// TestRule2ReportsOfCallsThatBeganEarlier: they change nothing, although the calls ended in
// this state.
func TestRule2ReportsOfCallsThatBeganEarlier(t *testing.T) {
	r := openRig(t, DefaultConfig())
	r.after(30 * time.Second)
	r.wantState(HalfOpen, 2)
	r.call(Success, Success, Success)
	r.want(Edge{HalfOpen, Closed, ProbesSucceeded})
	r.after(time.Second)
	for lasted, run := range map[time.Duration]uint32{time.Second + 1: 0, time.Second: 1} {
		r.report(Reported{Outcome: Failure, At: r.now, Lasted: lasted})
		if got := r.status().Window.Run; got != run {
			t.Errorf("a run of %d after one that began %s ago, want %d", got, lasted, run)
		}
		r.call(Success)
	}
}

// TestReportRunsFollowTheirTimes: the order in which they came does not matter.
func TestReportRunsFollowTheirTimes(t *testing.T) {
	at := func(o Outcome, ago int) Reported {
		return Reported{Outcome: o, At: epoch.Add(time.Hour - time.Duration(ago)*time.Second)}
	}
	for _, tt := range []struct {
		name    string
		batches [][]Reported
		run     uint32
	}{
		{"sorted within a batch", [][]Reported{{at(Failure, 1), at(Success, 3), at(Failure, 2), at(Failure, 4)}}, 2},
		{"a success from before the run does not end it", [][]Reported{{at(Failure, 2), at(Failure, 1)}, {at(Success, 3)}}, 2},
		{"a success within it does", [][]Reported{{at(Failure, 3), at(Failure, 1)}, {at(Success, 2)}}, 0},
		{"a failure from before the last success is not in it", [][]Reported{{at(Success, 2)}, {at(Failure, 3)}, {at(Failure, 1)}}, 1},
		{"a late failure begins it earlier", [][]Reported{{at(Failure, 1)}, {at(Failure, 5)}, {at(Success, 3)}}, 0},
		{"at the same instant a success comes last", [][]Reported{{at(Success, 1), at(Failure, 1), at(Failure, 1)}}, 0},
		{"ignored outcomes are not in it", [][]Reported{{at(Failure, 3), at(Ignored, 2), at(Failure, 1)}}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, runRule(100))
			r.after(time.Hour)
			for _, batch := range tt.batches {
				r.report(batch...)
			}
			if got := r.status().Window.Run; got != tt.run {
				t.Errorf("a run of %d, want %d", got, tt.run)
			}
		})
	}
}

// TestReportMixesWithPermits: a run that began with calls that had permits goes on, and its
// beginning stays.
func TestReportMixesWithPermits(t *testing.T) {
	r := newRig(t, runRule(4))
	r.report(r.reported(Success, 0, 1)...)
	r.after(10 * time.Second)
	r.call(Failure, Failure)
	r.report(r.reported(Success, 5*time.Second, 1)...)
	r.report(r.reported(Failure, 0, 1)...)
	if got := r.status().Window.Run; got != 3 {
		t.Errorf("a run of %d, want 3", got)
	}
	r.call(Failure)
	r.want(Edge{Closed, Open, ConsecutiveFailures})
}

// TestReportedRunOfCallersOutOfOrder: the run begins with its earliest failure, in whatever
// order calls with permits have ended.
func TestReportedRunOfCallersOutOfOrder(t *testing.T) {
	r := newRig(t, runRule(5))
	r.after(time.Minute)
	r.report(r.reported(Success, time.Second, 1)...)
	early, late := r.admit(), r.admit()
	late.Done(Failure, r.now)
	early.Done(Failure, r.now.Add(-5*time.Millisecond))
	r.report(r.reported(Success, 2*time.Millisecond, 1)...)
	if got := r.status().Window.Run; got != 0 {
		t.Errorf("a run of %d, want none: there was a success in it", got)
	}
}

// TestReportWeights: a sampled success stands for as many calls as it was drawn from; failures
// and slow calls, which are always reported, stand for themselves.
func TestReportWeights(t *testing.T) {
	cfg := runRule(0)
	for _, tt := range []struct {
		name string
		o    Reported
		want Counts
	}{
		{"a success of all", Reported{}, Counts{Requests: 1, Successes: 1}},
		{"a success of one in 100", Reported{OneIn: 100}, Counts{Requests: 100, Successes: 100}},
		{"a slow success", Reported{OneIn: 100, Duration: cfg.SlowCallDurationThreshold}, Counts{Requests: 1, Successes: 1, Slow: 1}},
		{"a failure", Reported{Outcome: Failure, OneIn: 100}, Counts{Requests: 1, Failures: 1}},
		{"a slow timeout", Reported{Outcome: Timeout, OneIn: 100, Duration: time.Hour}, Counts{Requests: 1, Failures: 1, Timeouts: 1, Slow: 1}},
		{"an abandoned call", Reported{Outcome: Abandoned, OneIn: 100}, Counts{Requests: 100, Ignored: 100}},
		{"a slow abandoned call", Reported{Outcome: Abandoned, OneIn: 100, Duration: time.Hour}, Counts{Requests: 1, Ignored: 1, Slow: 1}},
		{"nonsense is bounded", Reported{OneIn: 1 << 31}, Counts{Requests: maxOneIn, Successes: maxOneIn}},
	} {
		eachWindow(t, cfg, func(t *testing.T, r *rig) {
			tt.o.At = r.now
			r.report(tt.o)
			got := r.status()
			if got.Counts != tt.want {
				t.Errorf("%s: counts %+v, want %+v", tt.name, got.Counts, tt.want)
			}
			calls := tt.want.Requests - tt.want.Ignored
			if tt.want.Ignored > 0 {
				calls = tt.want.Slow
			}
			if r.status().Config.WindowSize > 0 {
				calls = min(calls, 8)
			}
			if want := (WindowCounts{Calls: calls, Failures: tt.want.Failures, Slow: tt.want.Slow, Run: uint32(tt.want.Failures)}); got.Window != want {
				t.Errorf("%s: window %+v, want %+v", tt.name, got.Window, want)
			}
		})
	}
}

// TestReportTripsByRates: failures and slow calls trip by exact counts over the weighted calls.
func TestReportTripsByRates(t *testing.T) {
	r := newRig(t, rateRule(5_000, 100))
	r.report(Reported{At: r.now, OneIn: 51})
	r.report(r.reported(Failure, 0, 50)...)
	r.wantState(Closed, 0)
	r.report(r.reported(Failure, 0, 1)...)
	r.want(Edge{Closed, Open, FailureRate})

	r = newRig(t, slowRule(time.Second))
	r.report(Reported{At: r.now, Duration: time.Hour}, Reported{At: r.now}, Reported{At: r.now, Duration: time.Second}, Reported{At: r.now, Duration: time.Second - 1})
	r.want(Edge{Closed, Open, SlowCallRate})
}

// TestReportOfADisabledOrUnknownBreaker: it trips nothing.
func TestReportOfADisabledOrUnknownBreaker(t *testing.T) {
	cfg := runRule(1)
	cfg.Mode = Disabled
	r := newRig(t, cfg)
	r.report(r.reported(Failure, 0, 100)...)
	r.wantState(Closed, 0)
	r.engine.Report(Key{Upstream: "z"}, r.reported(Failure, 0, 100), r.now)
	if got := len(r.engine.Snapshot(r.now)); got != 1 {
		t.Errorf("%d breakers, want 1", got)
	}
}

// TestReportRunOfAQuietUpstream: where every call is reported, a run trips at its threshold.
func TestReportRunOfAQuietUpstream(t *testing.T) {
	r := newRig(t, runRule(5))
	r.report(r.reported(Success, time.Second, 20)...)
	r.report(r.reported(Failure, 0, 4)...)
	r.wantState(Closed, 0)
	r.report(r.reported(Failure, 0, 1)...)
	r.want(Edge{Closed, Open, ConsecutiveFailures})
}

// sampled is a busy upstream. One in a hundred of its successes is reported.
type sampled struct {
	*rig
	random *rand.Rand
	batch  []Reported
}

// serve makes it answer n calls a second, of which a share fails.
func (s *sampled) serve(n int, failing float64) {
	s.batch = s.batch[:0]
	for i := range n {
		o := Reported{Outcome: Success, At: s.now.Add(time.Duration(i) * time.Second / time.Duration(n)), OneIn: 100}
		if s.random.Float64() < failing {
			o.Outcome = Failure
		} else if s.random.IntN(100) > 0 {
			continue
		}
		s.batch = append(s.batch, o)
	}
	s.after(time.Second)
	s.report(s.batch...)
}

// TestReportSampledRunsAreNotLuck: where 1 % of the calls fail, all failures are seen and one
// success in 100 is, runs of five and more are seen all day long.
func TestReportSampledRunsAreNotLuck(t *testing.T) {
	s := &sampled{rig: newRig(t, runRule(5)), random: rand.New(rand.NewPCG(1, 2))}
	longest := uint32(0)
	for range int(24 * time.Hour / time.Second) {
		s.serve(200, 0.01)
		longest = max(longest, s.status().Window.Run)
	}
	s.wantState(Closed, 0)
	if longest < 10 {
		t.Errorf("the longest run was %d, so this test tested little", longest)
	}
}

// TestReportSampledUpstreamGoesDown: when all calls fail, the run is soon too long for luck.
func TestReportSampledUpstreamGoesDown(t *testing.T) {
	for _, errors := range []float64{0, 0.001, 0.01} {
		s := &sampled{rig: newRig(t, runRule(5)), random: rand.New(rand.NewPCG(3, 4))}
		for range 60 {
			s.serve(500, errors)
		}
		before := s.status().Counts.Failures
		for range 60 {
			s.report(Reported{Outcome: Failure, At: s.now, OneIn: 100})
			s.after(time.Millisecond)
		}
		tr := s.want(Edge{Closed, Open, ConsecutiveFailures})
		if failures := s.status().Counts.Failures - before; failures != 60 || tr.Window.Run > 55 || tr.Window.Run <= 5 {
			t.Errorf("with %v of errors before: a run of %d tripped it, want some 50 at most, and more than 5", errors, tr.Window.Run)
		}
	}
}

// TestReportRunThatBecomesCertain: a run from a sample trips as soon as it ends with enough failures since which every success
// is reported. A failure from a sample, or a success, begins the count again.
func TestReportRunThatBecomesCertain(t *testing.T) {
	const sampled, exact = 100, 1
	for _, tt := range []struct {
		name  string
		oneIn []uint32 // one for each failure; 0: a success
		trips bool
	}{
		{"enough", []uint32{sampled, sampled, exact, exact, exact}, true},
		{"too few", []uint32{sampled, sampled, sampled, exact, exact}, false},
		{"broken by a sampled failure", []uint32{exact, exact, sampled, exact, exact}, false},
		{"broken by a success", []uint32{sampled, exact, exact, 0, exact, exact}, false},
		{"enough after a success", []uint32{sampled, exact, 0, sampled, exact, exact, exact}, true},
	} {
		eachWindow(t, runRule(3), func(t *testing.T, r *rig) {
			for _, oneIn := range tt.oneIn {
				r.after(time.Millisecond)
				o := Reported{Outcome: Failure, At: r.now, OneIn: oneIn}
				if oneIn == 0 {
					o.Outcome = Success
				}
				r.report(o)
			}
			if got := r.status().State == Open; got != tt.trips {
				t.Errorf("%s: open %t, want %t", tt.name, got, tt.trips)
			}
		})
	}
}

// TestReportedProbes: in half-open, calls that a proxy let through as probes close and open
// the breaker, if they began in half-open. Other calls change no state.
func TestReportedProbes(t *testing.T) {
	r := openRig(t, DefaultConfig())
	r.after(30 * time.Second)
	r.wantState(HalfOpen, 2)
	r.after(time.Second)
	early := Reported{Outcome: Failure, At: r.now, Lasted: 2 * time.Second, Probe: true}
	r.report(early, Reported{Outcome: Ignored, At: r.now, Probe: true}, Reported{Outcome: Failure, At: r.now})
	r.wantState(HalfOpen, 2)
	good := Reported{Outcome: Success, At: r.now, Lasted: time.Second, Duration: time.Second, Probe: true}
	r.report(good, good)
	r.wantState(HalfOpen, 2)
	r.report(good)
	r.want(Edge{HalfOpen, Closed, ProbesSucceeded})

	r = openRig(t, DefaultConfig())
	r.after(30 * time.Second)
	r.wantState(HalfOpen, 2)
	r.report(Reported{Outcome: Timeout, At: r.now, Probe: true})
	r.want(Edge{HalfOpen, Open, ProbeFailed})
}

// TestRule9ReportsOfWhatWouldHaveBeenRejected: MetricsOnly stops no calls, so they are counted
// while open, each for as many as it stands for, and judged in half-open.
func TestRule9ReportsOfWhatWouldHaveBeenRejected(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Mode = MetricsOnly
	r := openRig(t, cfg)
	r.report(Reported{Outcome: Failure, At: r.now}, Reported{Outcome: Success, At: r.now, OneIn: 8})
	if got := r.status().Counts.WouldReject; got != 9 {
		t.Errorf("would have rejected %d, want 9", got)
	}
	r.after(cfg.WaitDurationInOpenState)
	r.wantState(HalfOpen, 2)
	r.report(r.reported(Success, 0, 3)...)
	r.want(Edge{HalfOpen, Closed, ProbesSucceeded})
}

// TestRejected: calls that proxies reject are counted in every state, and change none.
func TestRejected(t *testing.T) {
	r := openRig(t, DefaultConfig())
	b := r.engine.Breaker(keyA)
	before := r.status().Counts
	b.Rejected(40, r.now)
	r.after(30 * time.Second)
	r.wantState(HalfOpen, 2)
	b.Rejected(2, r.now)
	r.wantState(HalfOpen, 2)
	if got := r.status().Counts; got.Rejected-before.Rejected != 42 || got.Requests-before.Requests != 42 {
		t.Errorf("%d rejected of %d, want 42 more than %+v", got.Rejected, got.Requests, before)
	}
}

// TestReportSampledRateDecides: where 60 % of the calls fail, all failures are seen and one
// success in 512 is, hundreds of failures in a row are to be expected. The failure rate
// decides then, in a window that includes better times too.
func TestReportSampledRateDecides(t *testing.T) {
	cfg := DefaultConfig()
	r := newRig(t, cfg)
	random := rand.New(rand.NewPCG(7, 8))
	// second reports what a proxy logs about 20,000 calls.
	second := func(failing float64) {
		for range 10 {
			r.after(100 * time.Millisecond)
			var told []Reported
			for i := range 2_000 {
				at := r.now.Add(time.Duration(i-2_000) * 50 * time.Microsecond)
				if random.Float64() < failing {
					told = append(told, Reported{Outcome: Failure, At: at, OneIn: 512})
				} else if random.IntN(512) == 0 {
					told = append(told, Reported{At: at, OneIn: 512})
				}
			}
			r.report(told...)
		}
	}
	for range 20 {
		second(0.01)
	}
	r.wantState(Closed, 0)
	for r.status().State == Closed {
		second(0.6)
	}
	r.want(Edge{Closed, Open, FailureRate})
}

// TestCountersNeverFall: a success that was taken back is added again as lag, until another
// success has replaced it.
func TestCountersNeverFall(t *testing.T) {
	r := newRig(t, runRule(1000))
	shown := func() [2]uint64 {
		s := r.status()
		return [2]uint64{s.Counts.Successes + uint64(s.SuccessLag), s.Counts.Ignored + uint64(s.IgnoredLag)}
	}
	for _, o := range []Outcome{Success, Success, Ignored} {
		r.call(o)
	}
	r.report(Reported{Outcome: Failure, At: r.now, Corrects: true, Settled: r.now}, Reported{Outcome: Timeout, At: r.now, Corrects: true, Was: Ignored})
	if got, want := r.status().Counts, (Counts{Requests: 3, Successes: 1, Failures: 2, Timeouts: 1}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	if got, want := shown(), [2]uint64{2, 1}; got != want {
		t.Errorf("counters show %v, want %v", got, want)
	}
	for _, o := range []Outcome{Success, Ignored} {
		r.call(o)
	}
	if got, want := shown(), [2]uint64{2, 1}; got != want {
		t.Errorf("counters show %v after as many more, want %v still", got, want)
	}
	r.call(Success)
	if got, want := shown(), [2]uint64{3, 1}; got != want {
		t.Errorf("counters show %v, want %v", got, want)
	}
}
