package breaker

import (
	"testing"
	"time"
)

// TestRule3NeverMoreProbesThanPermitted: a slot is free again when its probe is
// resolved, not before.
func TestRule3NeverMoreProbesThanPermitted(t *testing.T) {
	r := halfOpenRig(t, 2, 10)
	first, second := r.admit(), r.admit()
	for range 100 {
		if got, want := r.reject(), (Decision{State: HalfOpen}); got != want {
			t.Fatalf("decision %+v, want %+v", got, want)
		}
	}
	if got := r.status().ProbesInFlight; got != 2 {
		t.Errorf("%d probes in flight, want 2", got)
	}
	first.Done(Success, r.now)
	third := r.admit()
	r.reject()
	second.Done(Success, r.now)
	third.Done(Success, r.now)
	if got := r.status().ProbesInFlight; got != 0 {
		t.Errorf("%d probes in flight, want none", got)
	}
}

func TestHalfOpenClosesAfterEnoughSuccesses(t *testing.T) {
	r := halfOpenRig(t, 1, 3)
	r.call(Success, Success)
	r.wantState(HalfOpen, 2)
	r.after(time.Second)
	r.call(Success)
	tr := r.want(Edge{HalfOpen, Closed, ProbesSucceeded})
	if want := (WindowCounts{Calls: 3}); tr.Window != want || tr.Wait != 0 {
		t.Errorf("transition with window %+v and wait %s, want %+v and none", tr.Window, tr.Wait, want)
	}
	if got := r.status().Window; got != (WindowCounts{}) {
		t.Errorf("the window begins with %+v, want nothing", got)
	}
	if _, ok := r.engine.Advance(r.now); ok {
		t.Error("a closed breaker waits for something")
	}
}

func TestHalfOpenAnyFailedProbeOpens(t *testing.T) {
	for _, o := range []Outcome{Failure, Timeout} {
		t.Run(o.String(), func(t *testing.T) {
			r := halfOpenRig(t, 3, 3)
			r.call(Success, Success)
			r.call(o)
			tr := r.want(Edge{HalfOpen, Open, ProbeFailed})
			if want := (WindowCounts{Calls: 3, Failures: 1, Run: 1}); tr.Window != want || tr.Wait != 30*time.Second {
				t.Errorf("transition with window %+v and wait %s, want %+v and 30s", tr.Window, tr.Wait, want)
			}
			r.reject()
		})
	}
}

// TestHalfOpenForgetsEarlierSuccesses: each half-open state begins to count from 0.
func TestHalfOpenForgetsEarlierSuccesses(t *testing.T) {
	r := halfOpenRig(t, 3, 3)
	r.call(Success, Success, Failure)
	r.after(30 * time.Second)
	r.call(Success)
	r.want(Edge{Open, HalfOpen, WaitOver})
	if got, want := r.status().Window, (WindowCounts{Calls: 1}); got != want {
		t.Errorf("window %+v, want %+v", got, want)
	}
}

// TestRule3IgnoredProbeGivesItsPermitBack: it neither closes nor opens.
func TestRule3IgnoredProbeGivesItsPermitBack(t *testing.T) {
	r := halfOpenRig(t, 1, 2)
	for range 10 {
		r.call(Ignored)
	}
	r.wantState(HalfOpen, 2)
	if got := r.status(); got.ProbesInFlight != 0 || got.Window != (WindowCounts{}) {
		t.Errorf("ignored probes left %d in flight and window %+v", got.ProbesInFlight, got.Window)
	}
	r.call(Success)
	r.call(Ignored)
	r.wantState(HalfOpen, 2)
	r.call(Success)
	r.want(Edge{HalfOpen, Closed, ProbesSucceeded})
}

// TestRule3ResolvingTwiceIsResolvingOnce: a second Done frees no second slot and
// adds no second success.
func TestRule3ResolvingTwiceIsResolvingOnce(t *testing.T) {
	r := halfOpenRig(t, 2, 2)
	first, _ := r.admit(), r.admit()
	first.Done(Success, r.now)
	first.Done(Success, r.now)
	first.Done(Failure, r.now)
	r.wantState(HalfOpen, 2)
	r.admit()
	r.reject()
	if got, want := r.status().Counts.Successes, uint64(1); got != want {
		t.Errorf("%d successes, want %d", got, want)
	}
}

// TestRule1LeaseFreesItsSlot: a permit that is not resolved blocks half-open only until its
// deadline. When it is resolved later, it changes no state.
func TestRule1LeaseFreesItsSlot(t *testing.T) {
	for _, late := range []Outcome{Success, Failure, Ignored} {
		t.Run(late.String(), func(t *testing.T) {
			r := halfOpenRig(t, 1, 1)
			lost := r.admit()
			r.after(20*time.Second - 1)
			r.reject()
			r.after(1)
			probe := r.admit()
			r.reject()
			lost.Done(late, r.now)
			r.wantState(HalfOpen, 2)
			r.reject()
			if got := r.status(); got.Counts.LeasesExpired != 1 || got.ProbesInFlight != 1 {
				t.Errorf("%d leases expired and %d probes in flight, want 1 and 1", got.Counts.LeasesExpired, got.ProbesInFlight)
			}
			probe.Done(Success, r.now)
			r.want(Edge{HalfOpen, Closed, ProbesSucceeded})
		})
	}
}

// TestRule1OutcomeAtTheDeadlineIsLate: the lease ends with its deadline.
func TestRule1OutcomeAtTheDeadlineIsLate(t *testing.T) {
	for _, tt := range []struct {
		after time.Duration
		want  State
	}{{20*time.Second - 1, Closed}, {20 * time.Second, HalfOpen}} {
		r := halfOpenRig(t, 1, 1)
		probe := r.admit()
		r.after(tt.after)
		probe.Done(Success, r.now)
		if got := r.status().State; got != tt.want {
			t.Errorf("state %s after a success at %s of a lease of 20s, want %s", got, tt.after, tt.want)
		}
	}
}

// TestRule1HalfOpenAlwaysEnds: with probes that are never resolved, without probes, and with
// ignored probes only.
func TestRule1HalfOpenAlwaysEnds(t *testing.T) {
	for name, probe := range map[string]func(r *rig){
		"never resolved": func(r *rig) { r.admit() },
		"none":           func(*rig) {},
		"ignored":        func(r *rig) { r.call(Ignored) },
		"too few":        func(r *rig) { r.call(Success) },
	} {
		t.Run(name, func(t *testing.T) {
			r := halfOpenRig(t, 1, 2)
			end := r.now.Add(60 * time.Second)
			probe(r)
			if next, ok := r.engine.Advance(r.now); !ok || next != end {
				t.Errorf("half-open ends at %d, %t; want %d", next, ok, end)
			}
			r.after(60*time.Second - 1)
			r.wantState(HalfOpen, 2)
			r.after(1)
			if next, ok := r.engine.Advance(r.now); !ok || next != r.now.Add(30*time.Second) {
				t.Errorf("the wait ends at %d, %t; want %d", next, ok, r.now.Add(30*time.Second))
			}
			tr := r.want(Edge{HalfOpen, Open, HalfOpenExpired})
			if tr.Wait != 30*time.Second || tr.Since != end.Add(-60*time.Second) {
				t.Errorf("transition %+v, want a wait of 30s and since the beginning of half-open", tr)
			}
		})
	}
}

// TestRule2LateProbesChangeNothing: a half-open state takes the outcomes of its own probes
// only.
func TestRule2LateProbesChangeNothing(t *testing.T) {
	for _, late := range []Outcome{Success, Failure} {
		t.Run(late.String(), func(t *testing.T) {
			r := halfOpenRig(t, 2, 1)
			old := r.admit()
			r.call(Failure)
			r.after(30 * time.Second)
			r.want(Edge{Open, HalfOpen, WaitOver})
			r.admit()
			old.Done(late, r.now)
			r.wantState(HalfOpen, 4)
			if got := r.status(); got.ProbesInFlight != 1 || got.Window != (WindowCounts{}) {
				t.Errorf("%d probes in flight and window %+v, want 1 and none", got.ProbesInFlight, got.Window)
			}
		})
	}
}

// TestAbandonedProbes: abandoned probes that were slow count as slow calls, and only
// successes close the breaker.
func TestAbandonedProbes(t *testing.T) {
	type probe struct {
		o    Outcome
		slow bool
	}
	gone, quit, good, lame, bad := probe{Abandoned, true}, probe{Abandoned, false}, probe{Success, false}, probe{Success, true}, probe{Failure, false}
	for _, tt := range []struct {
		name   string
		probes []probe // three have to succeed
		rate   Ratio
		want   Edge // none: still half-open
		window WindowCounts
	}{
		{"all slow", []probe{gone, gone, gone}, Whole, Edge{HalfOpen, Open, SlowCallRate}, WindowCounts{Calls: 3, Slow: 3}},
		{"all fast", []probe{quit, quit, quit, quit}, Whole, Edge{}, WindowCounts{}},
		{"two", []probe{gone, gone}, Whole, Edge{}, WindowCounts{Calls: 2, Slow: 2}},
		{"one of three", []probe{good, gone, good}, Whole, Edge{}, WindowCounts{Calls: 3, Slow: 1}},
		{"one of four", []probe{good, gone, good, good}, Whole, Edge{HalfOpen, Closed, ProbesSucceeded}, WindowCounts{Calls: 4, Slow: 1}},
		{"half of four", []probe{gone, good, good, gone}, 5_000, Edge{HalfOpen, Open, SlowCallRate}, WindowCounts{Calls: 4, Slow: 2}},
		{"beside slow successes", []probe{gone, lame, lame}, Whole, Edge{HalfOpen, Open, SlowCallRate}, WindowCounts{Calls: 3, Slow: 3}},
		{"the rule is off", []probe{gone, gone, gone, gone, good, good}, 0, Edge{}, WindowCounts{Calls: 6, Slow: 4}},
		{"one failed", []probe{gone, bad}, Whole, Edge{HalfOpen, Open, ProbeFailed}, WindowCounts{Calls: 2, Slow: 1, Failures: 1, Run: 1}},
	} {
		for _, reported := range []bool{false, true} {
			cfg := DefaultConfig()
			cfg.SlowCallRateThreshold = tt.rate
			r := openRig(t, cfg)
			r.after(cfg.WaitDurationInOpenState)
			r.wantState(HalfOpen, 2)
			for _, p := range tt.probes {
				took := time.Duration(0)
				if p.slow {
					took = cfg.SlowCallDurationThreshold
				}
				if reported {
					r.report(Reported{Outcome: p.o, At: r.now, Duration: took, Probe: true})
					continue
				}
				r.admit().Settle(p.o, took, r.now)
			}
			got := r.status().Window
			if tt.want != (Edge{}) {
				got = r.want(tt.want).Window
			} else {
				r.wantState(HalfOpen, 2)
			}
			if got != tt.window {
				t.Errorf("%s, reported: %t: window %+v, want %+v", tt.name, reported, got, tt.window)
			}
		}
	}
}

// TestReleaseProbe: a probe whose request has not ended frees its slot, and its outcome then changes no
// state.
func TestReleaseProbe(t *testing.T) {
	for _, late := range []Outcome{Success, Failure} {
		r := halfOpenRig(t, 1, 1)
		b := r.engine.Breaker(keyA)
		first := r.upload()
		id := first.Probe()
		if id == 0 {
			t.Fatal("the id of a probe is 0")
		}
		for _, unknown := range []uint32{inBreaker, unjudged, untimed, id + 1} {
			b.Report([]Reported{{Uploading: unknown}}, r.now)
		}
		r.reject()
		b.Report([]Reported{{Uploading: id}}, r.now)
		second := r.admit()
		b.Report([]Reported{{Uploading: id}}, r.now)
		r.reject()
		first.Settle(late, 0, r.now)
		r.wantState(HalfOpen, 2)
		if got := r.status(); got.ProbesInFlight != 1 || got.InFlight != 1 || got.Counts.LeasesExpired != 0 || got.Window != (WindowCounts{}) {
			t.Errorf("after %s: %+v, want one probe in flight, nothing judged and no lease that expired", late, got)
		}
		if got := r.status().Counts; got.Successes+got.Failures != 4 {
			t.Errorf("after %s: counts %+v, want the outcome among them", late, got)
		}
		second.Done(Success, r.now)
		r.want(Edge{HalfOpen, Closed, ProbesSucceeded})
		b.Report([]Reported{{Uploading: second.Probe()}}, r.now)
		r.wantState(Closed, 3)
	}
}

// TestOnlyProbesHaveAnId: and only a probe can be released.
func TestOnlyProbesHaveAnId(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Mode = MetricsOnly
	r := newRig(t, cfg)
	for _, p := range []*Permit{{}, r.admit(), r.upload()} {
		if got := p.Probe(); got != 0 {
			t.Errorf("id %d while closed, want 0", got)
		}
	}
	r.call(repeat(Failure, 5)...)
	if got := r.admit().Probe(); got != 0 {
		t.Errorf("id %d of a call that would have been rejected, want 0", got)
	}
	r.after(cfg.WaitDurationInOpenState)
	ids := map[uint32]bool{}
	for range 3 {
		ids[r.admit().Probe()] = true
	}
	if len(ids) != 3 || ids[0] {
		t.Errorf("the ids of three probes are %v", ids)
	}
}

// TestUnsentProbe: a probe that was not sent gives its permit back, and another one is
// admitted after a second. Where no probe was sent, half-open ends at its time, and the wait
// is as long as the one before.
func TestUnsentProbe(t *testing.T) {
	cfg := backoffConfig()
	cfg.MaxWaitDurationInHalfOpenState = 5 * time.Second
	r := openRig(t, cfg)
	before := r.status().Counts
	for range 3 {
		r.after(time.Second)
		r.want(Edge{Open, HalfOpen, WaitOver})
		for range 4 {
			p := r.admit()
			p.Unsent(Failure, time.Millisecond, r.now)
			r.after(unsentPause - 1)
			r.reject()
			r.after(1)
		}
		if got := r.status(); got.Window != (WindowCounts{}) || got.ProbesInFlight != 0 {
			t.Errorf("status %+v, want nothing judged and no probe", got)
		}
		r.after(time.Second)
		if tr := r.want(Edge{HalfOpen, Open, HalfOpenExpired}); tr.Wait != time.Second || tr.Openings != 1 {
			t.Errorf("wait %s at opening %d, want a second at the first", tr.Wait, tr.Openings)
		}
	}
	if got := r.status().Counts; got.Failures != before.Failures || got.Ignored != before.Ignored+12 {
		t.Errorf("counts %+v, want 12 more ignored than %+v", got, before)
	}
	r.after(time.Second)
	r.engine.Report(keyA, []Reported{{Outcome: Failure, At: r.now, Probe: true, Unsent: true}}, r.now)
	r.want(Edge{Open, HalfOpen, WaitOver})
	asked := r.admit()
	r.after(5 * time.Second)
	if tr := r.want(Edge{HalfOpen, Open, HalfOpenExpired}); tr.Openings != 2 || tr.Wait != 2*time.Second {
		t.Errorf("wait %s at opening %d after the service did not answer, want 2s at the second", tr.Wait, tr.Openings)
	}
	asked.Done(Success, r.now)
}

// TestUnsentProbeOfBefore: a probe of an earlier half-open that was not sent changes nothing
// in this one.
func TestUnsentProbeOfBefore(t *testing.T) {
	r := halfOpenRig(t, 1, 1)
	late := r.admit()
	r.after(60 * time.Second)
	r.want(Edge{HalfOpen, Open, HalfOpenExpired})
	r.after(30 * time.Second)
	r.want(Edge{Open, HalfOpen, WaitOver})
	before := r.status().Counts
	late.Unsent(Failure, 0, r.now)
	if got := r.status().Counts; got.Failures != before.Failures+1 || got.Ignored != before.Ignored {
		t.Errorf("counts %+v, want one failure more than %+v", got, before)
	}
	r.call(Success)
	r.want(Edge{HalfOpen, Closed, ProbesSucceeded})
}

// TestRefusedProbe: a permit that is refused is free again. The call is rejected as if no
// permit had been free, or it goes on and is not judged where no call is rejected.
func TestRefusedProbe(t *testing.T) {
	for _, mode := range []Mode{Enforce, MetricsOnly} {
		cfg := DefaultConfig()
		cfg.Mode, cfg.PermittedNumberOfCallsInHalfOpenState, cfg.SuccessThreshold = mode, 1, 1
		r := openRig(t, cfg)
		r.after(cfg.WaitDurationInOpenState)
		before := r.status().Counts
		p := r.admit()
		want, counts := Decision{State: HalfOpen, Admitted: mode == MetricsOnly}, before
		if got := p.Refuse(r.now); got != want || p.Probe() != 0 && got.Admitted {
			t.Errorf("%s: decision %+v and probe %d, want %+v", mode, got, p.Probe(), want)
		}
		r.admit().Refuse(r.now)
		p.Done(Failure, r.now)
		if counts.Requests += 2; mode == MetricsOnly {
			counts.WouldReject, counts.Failures = 2, before.Failures+1
		} else {
			counts.Rejected = 2
		}
		if got := r.status(); got.Counts != counts || got.State != HalfOpen || got.ProbesInFlight != 0 {
			t.Errorf("%s: %s with %d probes and %+v, want half-open with none and %+v", mode, got.State, got.ProbesInFlight, got.Counts, counts)
		}
		r.call(Success)
		r.want(Edge{HalfOpen, Closed, ProbesSucceeded})
		if got := r.admit().Refuse(r.now); !got.Admitted {
			t.Errorf("%s: a call of a closed breaker is refused", mode)
		}
	}
}
