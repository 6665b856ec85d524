package breaker

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// force puts the breaker in a state by hand.
func (r *rig) force(s State, d time.Duration) Override {
	r.t.Helper()
	o := Override{State: s, By: "alice", Note: "deploy 12", Until: r.now.Add(d)}
	if err := r.engine.Force(keyA, o, r.now); err != nil {
		r.t.Fatal(err)
	}
	return o
}

// wantBy checks who the last transition says did it, why, and until when.
func (r *rig) wantBy(edge Edge, by, note string, until Instant) {
	r.t.Helper()
	if tr := r.want(edge); tr.By != by || tr.Note != note || tr.Until != until || tr.At != r.now {
		r.t.Errorf("transition at %d by %q, because %q, until %d; want at %d by %q, because %q, until %d", tr.At, tr.By, tr.Note, tr.Until, r.now, by, note, until)
	}
}

// TestForceOpen: the breaker rejects whatever happens, and says no time at which to retry,
// until the override ends. Then it probes.
func TestForceOpen(t *testing.T) {
	r := newRig(t, runRule(1))
	late := r.admit()
	o := r.force(Open, time.Hour)
	r.wantBy(Edge{Closed, Open, Forced}, "alice", "deploy 12", o.Until)
	if got := r.status().Override; got == nil || *got != o {
		t.Errorf("override %+v, want %+v", got, o)
	}
	if got := r.transitions[0]; got.Wait != 0 || got.Openings != 0 || r.status().trip() != nil {
		t.Errorf("transition %+v, want that no rule opened it", got)
	}
	for range 3 {
		if got, want := r.reject(), (Decision{State: Open}); got != want {
			t.Errorf("decision %+v, want %+v", got, want)
		}
		r.after(10 * time.Minute)
	}
	late.Done(Failure, r.now)
	if next, ok := r.engine.Advance(r.now); !ok || next != o.Until {
		t.Errorf("the next change is due at %d, %t; want the end at %d", next, ok, o.Until)
	}
	r.now = o.Until - 1
	r.reject()
	r.wantState(Open, 1)
	r.after(1)
	r.engine.Advance(r.now)
	r.wantBy(Edge{Open, HalfOpen, ForceExpired}, "alice", "deploy 12", 0)
	if got := r.status(); got.Override != nil {
		t.Errorf("override %+v after its end", got.Override)
	}
	r.call(Success, Success, Success)
	r.want(Edge{HalfOpen, Closed, ProbesSucceeded})
	checkSequence(t, r.transitions)
}

// TestForceClosed: the breaker admits all and judges nothing until the override ends. Then it
// begins to judge again.
func TestForceClosed(t *testing.T) {
	for _, from := range []State{Closed, Open, HalfOpen} {
		t.Run(from.String(), func(t *testing.T) {
			cfg := runRule(2)
			r := newRig(t, cfg)
			if from != Closed {
				r.call(Failure, Failure)
			}
			if from == HalfOpen {
				r.after(cfg.WaitDurationInOpenState)
				r.status()
			}
			o := r.force(Closed, time.Minute)
			r.wantBy(Edge{from, Closed, Forced}, "alice", "deploy 12", o.Until)
			said := len(r.transitions)
			r.call(repeat(Failure, 100)...)
			r.after(time.Minute - 1)
			r.call(repeat(Failure, 100)...)
			r.wantState(Closed, said)
			r.after(1)
			r.call(Failure)
			r.wantState(Closed, said+1)
			r.wantBy(Edge{Closed, Closed, ForceExpired}, "alice", "deploy 12", 0)
			if got := r.status().Window.Failures; got != 1 {
				t.Errorf("%d failures after its end, want the one since", got)
			}
			r.call(Failure)
			r.want(Edge{Closed, Open, ConsecutiveFailures})
			checkSequence(t, r.transitions)
		})
	}
}

// TestForceHoldsHungCallsToo: calls that become slow during an override trip nothing.
func TestForceHoldsHungCallsToo(t *testing.T) {
	r := newRig(t, slowRule(time.Second))
	r.force(Closed, time.Hour)
	for range 10 {
		r.admit()
	}
	r.advanceUntil(r.now.Add(time.Minute))
	r.wantState(Closed, 1)
	if got := r.status().Window.Slow; got != 10 {
		t.Errorf("%d slow calls in the window, want 10", got)
	}
}

// TestForceCancelsTimers: during an override, neither the wait of open nor the time of
// half-open ends, and probes are not judged.
func TestForceCancelsTimers(t *testing.T) {
	for _, to := range []State{Open, Closed} {
		open := openRig(t, DefaultConfig())
		open.force(to, time.Hour)
		open.advanceUntil(open.now.Add(59 * time.Minute))
		open.wantState(to, 2)

		half := halfOpenRig(t, 1, 1)
		probe := half.admit()
		half.force(to, time.Hour)
		probe.Done(Success, half.now)
		half.advanceUntil(half.now.Add(59 * time.Minute))
		half.wantState(to, 3)
	}
}

// TestForceReplacesForce: the last override counts, with its own end.
func TestForceReplacesForce(t *testing.T) {
	r := newRig(t, runRule(1))
	r.force(Open, time.Minute)
	r.after(time.Second)
	o := r.force(Closed, time.Hour)
	r.wantBy(Edge{Open, Closed, Forced}, "alice", "deploy 12", o.Until)
	r.after(time.Minute)
	r.wantState(Closed, 2)
	r.force(Open, time.Second)
	r.after(time.Second)
	r.want(Edge{Open, HalfOpen, ForceExpired})
}

// TestForceIsNotAsked: neither MetricsOnly nor a new policy lets calls through a breaker that
// an operator has opened.
func TestForceUnderModes(t *testing.T) {
	cfg := runRule(1)
	cfg.Mode = MetricsOnly
	r := newRig(t, cfg)
	r.force(Open, time.Hour)
	r.reject()
	if got := r.status().Counts; got.Rejected != 1 || got.WouldReject != 0 {
		t.Errorf("counts %+v, want one rejected", got)
	}

	cfg.Mode = ForcedOpen
	r = newRig(t, cfg)
	r.wantBy(Edge{Closed, Open, PolicyForced}, "", "", 0)
	r.reject()
	r.force(Closed, time.Hour)
	r.call(Failure, Failure, Failure)
	r.after(time.Hour)
	r.wantBy(Edge{Closed, Open, PolicyForced}, "alice", "deploy 12", 0)
	r.advanceUntil(r.now.Add(time.Hour))
	r.wantState(Open, 3)
	if err := r.engine.Reset(keyA, "bob", "try", r.now); err != nil {
		t.Fatal(err)
	}
	r.wantBy(Edge{Open, Open, PolicyForced}, "bob", "try", 0)
}

// TestForceAndDisabled: a breaker whose mode is Disabled cannot be forced. A breaker that was
// forced before it got that mode closes when the override ends.
func TestForceAndDisabled(t *testing.T) {
	cfg := runRule(1)
	r := newRig(t, cfg)
	r.force(Open, time.Hour)
	cfg.Mode = Disabled
	r.apply(cfg)
	r.reject()
	o := Override{State: Open, By: "alice", Note: "more", Until: r.now.Add(2 * time.Hour)}
	if err := r.engine.Force(keyA, o, r.now); !errors.Is(err, ErrDisabled) {
		t.Errorf("error %v, want %v", err, ErrDisabled)
	}
	r.after(time.Hour)
	r.wantBy(Edge{Open, Closed, ForceExpired}, "alice", "deploy 12", 0)
	r.call(repeat(Failure, 10)...)
	r.wantState(Closed, 2)
}

// TestResetEndsWhatAPersonDid: and it forgets all but the counts.
func TestResetEndsWhatAPersonDid(t *testing.T) {
	cfg := backoffConfig()
	r := newRig(t, cfg)
	r.call(Failure)
	r.after(time.Second)
	r.call(Failure)
	r.force(Open, time.Hour)
	before := r.status().Counts
	if err := r.engine.Reset(keyA, "bob", "all is well", r.now); err != nil {
		t.Fatal(err)
	}
	r.wantBy(Edge{Open, Closed, Reset}, "bob", "all is well", 0)
	if got := r.status(); got.Override != nil || got.Episode != nil || got.Openings != 0 || got.Counts != before || got.Window != (WindowCounts{}) {
		t.Errorf("status %+v after a reset, want nothing but the counts %+v", got, before)
	}
	if next, ok := r.engine.Advance(r.now); ok {
		t.Errorf("a timer of before is due at %d", next)
	}
	r.call(Failure)
	if tr := r.want(Edge{Closed, Open, ConsecutiveFailures}); tr.Wait != time.Second || tr.Openings != 1 {
		t.Errorf("the first opening after a reset waits %s as number %d, want 1s as number 1", tr.Wait, tr.Openings)
	}
}

// TestReloadUnderAForce: the override stays, and a new state begins after it.
func TestReloadUnderAForce(t *testing.T) {
	for _, mode := range []Mode{Enforce, MetricsOnly, ForcedOpen} {
		t.Run(mode.String(), func(t *testing.T) {
			r := newRig(t, runRule(1))
			late := r.admit()
			o := r.force(Closed, time.Hour)
			mine := r.admit()
			cfg := runRule(2)
			cfg.Mode = mode
			before := r.status()
			if got := r.apply(cfg).Restarted; len(got) != 1 {
				t.Errorf("restarted %v, want the one", got)
			}
			got := r.status()
			if got.State != Closed || got.Override == nil || *got.Override != o || got.Since != before.Since || got.Generation != before.Generation+1 {
				t.Errorf("status %+v after a reload, want still forced closed, in the next generation", got)
			}
			r.wantState(Closed, 1)
			late.Done(Failure, r.now)
			mine.Done(Failure, r.now)
			if got := r.status().Window; got != (WindowCounts{}) {
				t.Errorf("window %+v, want none of earlier generations", got)
			}
			r.after(time.Hour)
			want := Edge{Closed, Closed, ForceExpired}
			if mode == ForcedOpen {
				want = Edge{Closed, Open, PolicyForced}
			}
			r.want(want)
		})
	}
}

func TestForceErrors(t *testing.T) {
	r := newRig(t, runRule(1))
	fine := Override{State: Open, By: "alice", Note: "why", Until: r.now + 1}
	for name, tt := range map[string]struct {
		key    Key
		change func(*Override)
		want   string
	}{
		"half-open":    {keyA, func(o *Override) { o.State = HalfOpen }, "open or closed"},
		"nobody":       {keyA, func(o *Override) { o.By = "" }, "who did it and why"},
		"no reason":    {keyA, func(o *Override) { o.Note = "" }, "who did it and why"},
		"over already": {keyA, func(o *Override) { o.Until = r.now }, "end in the future"},
		"unknown":      {Key{Upstream: "z"}, func(*Override) {}, ErrUnknown.Error()},
		"unknown node": {Key{Upstream: "a", Node: "n"}, func(*Override) {}, ErrUnknown.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			o := fine
			tt.change(&o)
			if err := r.engine.Force(tt.key, o, r.now); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one that says %q", err, tt.want)
			}
		})
	}
	for _, key := range []Key{{Upstream: "z"}, {Upstream: "a", Node: "n"}} {
		if err := r.engine.Reset(key, "bob", "why", r.now); !errors.Is(err, ErrUnknown) {
			t.Errorf("reset of %s: %v, want %v", key, err, ErrUnknown)
		}
	}
	r.wantState(Closed, 0)
	r.engine.Force(keyA, fine, r.now)
	r.wantState(Open, 1)
}
