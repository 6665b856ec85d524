package breaker

import (
	"fmt"
	"reflect"
	"testing"
	"time"
)

// handOver hands the breaker of r over to another engine with the policy cfg. The transitions of r so far are
// in its past: the new rig has none.
func (r *rig) handOver(cfg Config, earliest Instant) *rig {
	r.t.Helper()
	h, ok := r.engine.HandOver(keyA, r.now)
	if !ok {
		r.t.Fatal("there is nothing to hand over")
	}
	next := r.beside(cfg)
	next.take(&h, earliest)
	return next
}

// beside returns a rig at the same time that has the policy cfg. It leaves out what the policy itself
// has done.
func (r *rig) beside(cfg Config) *rig {
	next := newRig(r.t, cfg)
	next.now, next.transitions = r.now, nil
	next.apply(cfg)
	return next
}

func (r *rig) take(h *Handover, earliest Instant) {
	r.t.Helper()
	if !r.engine.TakeOver(h, earliest, r.now) {
		r.t.Fatal("the breaker was not taken over")
	}
}

// holding returns the state of the breaker as it would be handed over.
func (r *rig) holding() Handover {
	r.t.Helper()
	h, ok := r.engine.Holding(keyA, r.now)
	if !ok {
		r.t.Fatal("there is no breaker")
	}
	return h
}

// wantSilence checks that no transition was delivered.
func (r *rig) wantSilence() {
	r.t.Helper()
	if len(r.transitions) > 0 {
		r.t.Fatalf("transitions %+v, want none", r.transitions)
	}
}

// situations are breakers that have something to hand over.
var situations = map[string]func(t *testing.T) *rig{
	"new":    func(t *testing.T) *rig { return newRig(t, DefaultConfig()) },
	"closed": func(t *testing.T) *rig { r := newRig(t, DefaultConfig()); r.call(Success, Failure, Failure); return r },
	"counted": func(t *testing.T) *rig {
		cfg := DefaultConfig()
		cfg.WindowSize, cfg.WindowDuration = 5, 0
		r := newRig(t, cfg)
		r.call(Success, Failure, Success, Success, Failure, Success)
		return r
	},
	"sampled": func(t *testing.T) *rig {
		r := newRig(t, DefaultConfig())
		r.report(Reported{At: r.now, OneIn: 7}, Reported{At: r.now + 1, Outcome: Failure, OneIn: 7}, Reported{At: r.now + 2, Outcome: Failure})
		return r
	},
	"open":      func(t *testing.T) *rig { return openRig(t, backoffConfig()) },
	"half-open": func(t *testing.T) *rig { r := halfOpenRig(t, 3, 3); r.call(Success); r.admit(); r.admit(); return r },
	"ramp": func(t *testing.T) *rig {
		cfg := DefaultConfig()
		cfg.RampDuration, cfg.SuccessThreshold = 10*time.Second, 1
		r := openRig(t, cfg)
		r.after(30 * time.Second)
		r.call(Success)
		r.after(time.Second)
		r.admit().Done(Success, r.now)
		r.reject()
		return r
	},
	"forced open": func(t *testing.T) *rig { r := newRig(t, runRule(1)); r.force(Open, time.Hour); return r },
	"forced closed": func(t *testing.T) *rig {
		r := newRig(t, runRule(1))
		r.force(Closed, time.Hour)
		r.call(Failure)
		return r
	},
	"forced by the policy": func(t *testing.T) *rig {
		cfg := DefaultConfig()
		cfg.Mode = ForcedOpen
		return newRig(t, cfg)
	},
	"metrics only": func(t *testing.T) *rig {
		cfg := runRule(1)
		cfg.Mode = MetricsOnly
		r := newRig(t, cfg)
		r.call(Failure, Failure)
		return r
	},
	"disabled": func(t *testing.T) *rig {
		cfg := DefaultConfig()
		cfg.Mode = Disabled
		r := newRig(t, cfg)
		r.call(Failure, Failure)
		return r
	},
}

// TestTakeOverIsSilent: the next engine knows all that the engine before it knew, and makes no transition.
func TestTakeOverIsSilent(t *testing.T) {
	for name, make := range situations {
		t.Run(name, func(t *testing.T) {
			r := make(t)
			want, before := r.holding(), r.status()
			next := r.handOver(*before.Config, r.now)
			next.wantSilence()
			if got := next.holding(); !reflect.DeepEqual(got, want) {
				t.Errorf("differences:\n%s", differences(got, want))
			}
			got := next.status()
			if got.RetryAfter != before.RetryAfter || got.ProbesInFlight != before.ProbesInFlight || got.Admits != before.Admits {
				t.Errorf("status %+v, want %+v", got, before)
			}
		})
	}
}

// TestHandOverLeavesTheBreakerAsNew: and nothing that is in flight changes it, nor does time.
func TestHandOverLeavesTheBreakerAsNew(t *testing.T) {
	leave := map[string]func(*Engine, Instant){
		"HandOver": func(e *Engine, now Instant) { e.HandOver(keyA, now) },
		"Forsake":  func(e *Engine, now Instant) { e.Forsake(keyA, now) },
	}
	for how, leave := range leave {
		for name, make := range situations {
			t.Run(how+" "+name, func(t *testing.T) {
				r := make(t)
				var flying []*Permit
				for range 3 {
					if p, d := r.engine.Acquire(keyA, r.now); d.Admitted {
						flying = append(flying, &p)
					}
				}
				before, told := r.status(), len(r.transitions)
				leave(r.engine, r.now)
				want := Status{
					Key: keyA, Config: before.Config, Generation: before.Generation, Sequence: before.Sequence, Since: r.now, Admits: Whole,
					Counts: before.Counts, InFlight: before.InFlight, LastFailure: before.LastFailure,
				}
				if before.Config.Mode == ForcedOpen {
					want.State, want.Admits = Open, 0
				}
				if got := r.status(); got != want {
					t.Fatalf("left behind %+v, want %+v", got, want)
				}
				for _, p := range flying {
					p.Done(Failure, r.now)
				}
				if got := r.status(); got.Window != (WindowCounts{}) || got.InFlight != before.InFlight-uint64(len(flying)) || got.Counts.Failures != before.Counts.Failures+uint64(len(flying)) {
					t.Errorf("%+v after %d late failures, want that they are counted in the totals only", got, len(flying))
				}
				if next, due := r.engine.Advance(r.now.Add(time.Hour)); due || len(r.transitions) != told {
					t.Errorf("%d transitions in an hour, and the next at %d, %t; want none", len(r.transitions)-told, next, due)
				}
			})
		}
	}
}

// TestHoldingChangesNothing: neither the breaker nor the calls that are in flight.
func TestHoldingChangesNothing(t *testing.T) {
	r := halfOpenRig(t, 2, 1)
	p := r.admit()
	first := r.holding()
	if second := r.holding(); !reflect.DeepEqual(first, second) || len(first.Probes) != 1 || first.Probes[0] != (Probe{p.Probe(), r.now.Add(20 * time.Second)}) {
		t.Errorf("%+v and %+v, want the same, with one probe", first, second)
	}
	p.Done(Success, r.now)
	r.want(Edge{HalfOpen, Closed, ProbesSucceeded})
}

// TestSequenceAndGenerationGoOn: the next transition has the next of both, whichever engine was ahead.
func TestSequenceAndGenerationGoOn(t *testing.T) {
	for _, ahead := range []uint64{0, 1, 100} {
		next := newRig(t, runRule(1))
		next.call(Failure)
		next.engine.Forsake(keyA, next.now)
		own, h := next.status(), next.holding()
		h.Sequence, h.Generation = ahead, 2*ahead
		next.take(&h, 0)
		next.call(Failure)
		tr := next.want(Edge{Closed, Open, ConsecutiveFailures})
		if sequence, generation := max(own.Sequence, ahead)+1, max(own.Generation, 2*ahead)+1; tr.Sequence != sequence || tr.Generation != generation {
			t.Errorf("transition %d to generation %d, want %d to %d", tr.Sequence, tr.Generation, sequence, generation)
		}
	}
}

// TestTimeGoesOn: a state that has ended on the way to another engine ends there, by a transition that is
// delivered.
func TestTimeGoesOn(t *testing.T) {
	for name, want := range map[string]Edge{
		"open": {Open, HalfOpen, WaitOver}, "half-open": {HalfOpen, Open, HalfOpenExpired},
		"forced open": {Open, HalfOpen, ForceExpired}, "forced closed": {Closed, Closed, ForceExpired},
	} {
		r := situations[name](t)
		h, _ := r.engine.HandOver(keyA, r.now)
		next := r.beside(h.Config)
		next.now = h.Ends()
		next.take(&h, 0)
		if tr := next.want(want); len(next.transitions) != 1 || tr.Sequence != h.Sequence+1 || tr.Generation != h.Generation+1 || tr.Since != h.Since {
			t.Errorf("%s: transitions %+v, want one, after %d", name, next.transitions, h.Sequence)
		}
	}
}

// TestNoProbeBeforeEarliest: in the half-open state that is taken over, and in a later one. It then lasts as
// long as a new one may, and the next owner keeps to it too.
func TestNoProbeBeforeEarliest(t *testing.T) {
	for _, name := range []string{"open", "half-open", "forced open", "closed"} {
		for _, again := range []bool{false, true} {
			t.Run(fmt.Sprint(name, again), func(t *testing.T) {
				r := situations[name](t)
				cfg, earliest := *r.status().Config, r.now.Add(2*time.Hour)
				r = r.handOver(cfg, earliest)
				if again {
					r = r.handOver(cfg, 0)
				}
				r.wantSilence()
				if name == "closed" { // it goes on with two failures
					r.call(Failure, Failure, Failure)
				}
				if name != "half-open" {
					r.now = earliest.Add(-time.Second)
				}
				if got := r.status(); got.State != HalfOpen || r.now.Add(got.RetryAfter) != earliest {
					t.Fatalf("%s with probes in %s, want half-open from %d, in %s", got.State, got.RetryAfter, earliest, earliest.Sub(r.now))
				}
				r.now = earliest - 1
				r.reject()
				if _, _, d := r.engine.AcquireProbe(keyA, r.now); d.Admitted {
					t.Error("a probe for another process is admitted, want that it waits")
				}
				r.now = earliest
				probe := r.admit()
				if got := r.status().RetryAfter; got != -1 {
					t.Errorf("probes in %s, want from now on", got)
				}
				r.now++
				if got := r.status().RetryAfter; got != -1 {
					t.Errorf("probes in %s, want since a nanosecond", got)
				}
				r.now--
				if got := r.holding(); got.Until != earliest.Add(cfg.MaxWaitDurationInHalfOpenState) {
					t.Errorf("half-open until %d, want %s after %d", got.Until, cfg.MaxWaitDurationInHalfOpenState, earliest)
				}
				probe.Done(Failure, r.now)
				r.after(cfg.WaitDurationInOpenState * 4)
				if got := r.status(); got.State != HalfOpen || got.RetryAfter != 0 {
					t.Errorf("%s with probes in %s later, want half-open with probes from the beginning", got.State, got.RetryAfter)
				}
			})
		}
	}
}

// TestNoWaitWhereNothingIsUnknown: an earliest that is over changes nothing, and is forgotten.
func TestNoWaitWhereNothingIsUnknown(t *testing.T) {
	r := situations["half-open"](t)
	until := r.holding().Until
	r.after(time.Second)
	next := r.handOver(*r.status().Config, r.now)
	if got := next.holding(); got.Until != until || got.ProbesFrom != 0 {
		t.Errorf("half-open until %d with probes from %d, want until %d and at once", got.Until, got.ProbesFrom, until)
	}
	next.admit()
}

// TestTakeOverWithOtherSemantics: it is as if the policy had changed at that moment.
func TestTakeOverWithOtherSemantics(t *testing.T) {
	forcedOpen := runRule(2)
	forcedOpen.Mode = ForcedOpen
	for _, tt := range []struct {
		situation string
		cfg       Config
		state     State
		edges     []Edge
	}{
		{"closed", runRule(2), Closed, nil},
		{"open", runRule(2), Closed, []Edge{{Open, Closed, PolicyChanged}}},
		{"half-open", runRule(2), Closed, []Edge{{HalfOpen, Closed, PolicyChanged}}},
		{"forced open", runRule(2), Open, nil},
		{"forced closed", runRule(2), Closed, nil},
		{"forced by the policy", runRule(2), Closed, []Edge{{Open, Closed, PolicyChanged}}},
		{"closed", forcedOpen, Open, nil},
		{"open", forcedOpen, Open, nil},
		{"forced closed", forcedOpen, Closed, nil},
	} {
		t.Run(fmt.Sprint(tt.situation, tt.cfg.Mode), func(t *testing.T) {
			r := situations[tt.situation](t)
			before, h := r.status(), r.holding()
			next := r.handOver(tt.cfg, 0)
			got := next.status()
			if got.State != tt.state || got.Window != (WindowCounts{}) || got.Openings != 0 || !reflect.DeepEqual(got.Override, before.Override) {
				t.Errorf("status %+v, want %s, without counts", got, tt.state)
			}
			if got.Generation < before.Generation || tt.cfg.Mode != ForcedOpen && got.Generation != before.Generation+1 {
				t.Errorf("generation %d, want the one after %d", got.Generation, before.Generation)
			}
			var edges []Edge
			for _, tr := range next.transitions {
				edges = append(edges, tr.Edge)
				if tr.Sequence != h.Sequence+1 || tr.Since != h.Since {
					t.Errorf("transition %+v, want the one after %d", tr, h.Sequence)
				}
			}
			if !reflect.DeepEqual(edges, tt.edges) {
				t.Errorf("transitions %v, want %v", edges, tt.edges)
			}
		})
	}
}

// TestTakeOverAfterOwnChanges: a state that an operator has forced at the next owner stays, and so does a trip of a
// breaker that was closed elsewhere. All else is as it was elsewhere.
func TestTakeOverAfterOwnChanges(t *testing.T) {
	type change = func(*rig)
	trip := func(r *rig) { r.call(repeat(Failure, int(r.status().Config.ConsecutiveFailures))...) }
	force := func(s State) change { return func(r *rig) { r.force(s, time.Minute) } }
	for _, tt := range []struct {
		name      string
		situation string
		own       change
		state     State
		forced    time.Duration
		openings  uint32
	}{
		{"tripped, while it was closed", "closed", trip, Open, 0, 1},
		{"tripped, while it was half-open", "half-open", trip, HalfOpen, 0, 1},
		{"tripped, while it was forced", "forced closed", trip, Closed, time.Hour, 0},
		{"forced, while it was closed", "closed", force(Open), Open, time.Minute, 0},
		{"forced, while it was open", "half-open", force(Closed), Closed, time.Minute, 1},
		{"forced, while it was forced", "forced open", force(Closed), Closed, time.Minute, 0},
		{"the same, while it was forced", "forced open", func(r *rig) { r.force(Open, time.Hour) }, Open, time.Hour, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := situations[tt.situation](t)
			h := r.holding()
			next := r.beside(h.Config)
			if tt.situation == "forced open" || tt.situation == "forced closed" {
				next = r.beside(runRule(1))
			}
			tt.own(next)
			made := len(next.transitions)
			next.take(&h, 0)
			got := next.status()
			if got.State != tt.state || got.Openings != tt.openings || (got.Override != nil) != (tt.forced > 0) {
				t.Errorf("%s with %d openings, override %+v; want %s with %d, forced for %s", got.State, got.Openings, got.Override, tt.state, tt.openings, tt.forced)
			}
			if tt.forced > 0 && got.Override.Until != r.now.Add(tt.forced) {
				t.Errorf("forced until %d, want for %s", got.Override.Until, tt.forced)
			}
			if len(next.transitions) != made {
				t.Errorf("transitions %+v, want none by taking over", next.transitions[made:])
			}
			if got.Episode == nil && h.episode() != nil {
				t.Error("there is no episode, want the one that is handed over")
			}
			if got.Sequence < max(h.Sequence, uint64(made)) {
				t.Errorf("sequence %d, want at least %d", got.Sequence, max(h.Sequence, uint64(made)))
			}
		})
	}
}

// TestTakeOverEndsAGeneration: calls that the next owner has admitted by itself, while it was closed, change nothing once it
// goes on from another state. They stay in flight until they end.
func TestTakeOverEndsAGeneration(t *testing.T) {
	for name, want := range map[string]State{"open": Open, "half-open": HalfOpen, "forced closed": Closed, "closed": Closed} {
		r := situations[name](t)
		h := r.holding()
		next := r.beside(h.Config)
		own := []*Permit{next.admit(), next.admit()}
		next.take(&h, 0)
		if got := next.status(); got.State != want || got.InFlight != 2 {
			t.Fatalf("%s: %s with %d in flight, want %s with 2", name, got.State, got.InFlight, want)
		}
		for _, p := range own {
			p.Done(Failure, next.now)
		}
		got, failed := next.status(), uint64(0)
		if want == Closed {
			failed = 2 // it is the same generation
		}
		if got.State != want || got.InFlight != 0 || got.Counts.Failures != 2 || got.Window.Failures != h.windowFailures()+failed {
			t.Errorf("%s: status %+v after two failures, want %d of them in the window", name, got, failed)
		}
	}
}

// windowFailures returns how many failures the window has.
func (h *Handover) windowFailures() (n uint64) {
	for _, t := range h.Window {
		n += uint64(t.Failures)
	}
	return n
}

// TestTakeOverRefuses: it refuses a handover that cannot be true, or for which there is no breaker.
func TestTakeOverRefuses(t *testing.T) {
	r := openRig(t, DefaultConfig())
	sound := r.holding()
	for name, spoil := range map[string]func(*Handover){
		"a state that does not exist":   func(h *Handover) { h.State = 3 },
		"a state that was not forced":   func(h *Handover) { h.Override = &Override{State: Closed, Until: never} },
		"a breaker that does not exist": func(h *Handover) { h.Key.Upstream = "b" },
		"a proxy that has no breaker":   func(h *Handover) { h.Key.Node = "n" },
	} {
		h := sound
		spoil(&h)
		next := r.beside(h.Config)
		if next.engine.TakeOver(&h, 0, r.now) {
			t.Errorf("%s is taken over", name)
		}
		next.wantState(Closed, 0)
	}
	other := Key{Upstream: "b"}
	_, handed := r.engine.HandOver(other, r.now)
	if _, held := r.engine.Holding(other, r.now); handed || held {
		t.Error("a breaker that does not exist is handed over")
	}
	r.engine.Forsake(other, r.now)
	r.wantState(Open, 1)
}

// TestTakeOverBoundsTimes: they may come from a clock that was wrong.
func TestTakeOverBoundsTimes(t *testing.T) {
	cfg := backoffConfig()
	r := openRig(t, cfg)
	h := r.holding()
	h.Until, h.Since, h.LastFailure, h.Openings = never-1, never-1, never-1, 1<<30
	next := r.beside(h.Config)
	next.take(&h, 0)
	if got := next.status(); got.RetryAfter != 20*time.Second || got.Since != r.now || got.LastFailure != r.now || got.Openings != maxOpenings {
		t.Errorf("status %+v, want at most twice the longest wait, from now", got)
	}
	half := situations["half-open"](t)
	h = half.holding()
	h.Until, h.Probes[0].Deadline = never-1, never-1
	next = half.beside(h.Config)
	next.take(&h, 0)
	next.after(h.Config.MaxWaitDurationInHalfOpenState)
	next.want(Edge{HalfOpen, Open, HalfOpenExpired})

	ramp := situations["ramp"](t)
	h = ramp.holding()
	h.RampUntil, h.RampCredit = never-1, 1<<31
	next = ramp.beside(h.Config)
	next.take(&h, 0)
	next.admit()
	next.reject()
	next.after(h.Config.RampDuration)
	if got := next.status(); got.Admits != Whole {
		t.Errorf("it admits %s after the ramp, want all", got.Admits)
	}
}
