package breaker

import (
	"math"
	"testing"
	"time"
)

// restart returns a rig in another process, which restores what r has exported that long
// after the export, with the policy cfg.
func (r *rig) restart(cfg Config, down time.Duration) *rig {
	r.t.Helper()
	saved := r.engine.Export(r.now)
	next := &rig{t: r.t, now: r.now.Add(down)}
	next.engine = NewEngine(Options{Listen: func(tr Transition) { next.transitions = append(next.transitions, tr) }})
	next.apply(cfg)
	next.engine.Restore(saved, 0, next.now)
	return next
}

// TestRule10OpenForTheRestOfItsWait: a restart neither closes an open breaker early nor
// begins its wait again. The breaker still knows its openings and why it tripped.
func TestRule10OpenForTheRestOfItsWait(t *testing.T) {
	cfg := backoffConfig()
	r := newRig(t, cfg)
	r.call(Failure)
	r.after(time.Second)
	r.call(Failure)
	r.after(time.Second)
	r.status()
	r.after(time.Second)
	r.call(Failure)
	before := r.status()
	if before.Openings != 3 || before.RetryAfter != 4*time.Second {
		t.Fatalf("%d openings and %s to wait, want 3 and 4s", before.Openings, before.RetryAfter)
	}
	r = r.restart(cfg, time.Second)
	after := r.status()
	if after.State != Open || after.RetryAfter != 3*time.Second || after.Openings != 3 || after.Since != before.Since {
		t.Errorf("%s for another %s after %d openings since %d, want open for 3s, 3 and %d", after.State, after.RetryAfter, after.Openings, after.Since, before.Since)
	}
	if after.trip() == nil || *after.trip() != *before.trip() {
		t.Errorf("trip %+v, want %+v", after.trip(), before.trip())
	}
	tr := r.want(Edge{Closed, Open, Restored})
	if tr.Sequence != before.Sequence+1 || tr.Generation <= before.Generation {
		t.Errorf("sequence %d and generation %d, want that they go on from %d and %d", tr.Sequence, tr.Generation, before.Sequence, before.Generation)
	}
	if next, ok := r.engine.Advance(r.now); !ok || next != r.now.Add(3*time.Second) {
		t.Errorf("the next change is due at %d, %t; want 3s from now", next, ok)
	}
	r.after(3*time.Second - 1)
	r.reject()
	r.after(1)
	r.call(Failure)
	if tr := r.want(Edge{HalfOpen, Open, ProbeFailed}); tr.Wait != 8*time.Second || tr.Openings != 4 {
		t.Errorf("the next wait is %s, number %d; want 8s, number 4", tr.Wait, tr.Openings)
	}
}

// TestRule10WaitThatEndedMeanwhile: the breaker is half-open, after two transitions.
func TestRule10WaitThatEndedMeanwhile(t *testing.T) {
	r := openRig(t, DefaultConfig())
	r = r.restart(*r.status().Config, time.Minute)
	if len(r.transitions) != 2 {
		t.Errorf("%d transitions before anybody looks, want 2", len(r.transitions))
	}
	r.wantState(HalfOpen, 2)
	r.want(Edge{Open, HalfOpen, WaitOver})
	r.admit()
}

// TestRule10HalfOpenBeginsAnew: it begins when an earlier probe can no longer be in flight.
func TestRule10HalfOpenBeginsAnew(t *testing.T) {
	r := halfOpenRig(t, 1, 2)
	r.call(Success)
	r.admit()
	r.after(10 * time.Second)
	r = r.restart(*r.status().Config, 10*time.Second)
	r.want(Edge{Closed, Open, Restored})
	r.after(20*time.Second - 1)
	r.reject()
	r.after(1)
	r.call(Success)
	r.wantState(HalfOpen, 2)
	r.after(60 * time.Second)
	r.want(Edge{HalfOpen, Open, HalfOpenExpired})
}

// TestRule10LastExport: an engine that has stopped knows which probes are in flight.
func TestRule10LastExport(t *testing.T) {
	r := halfOpenRig(t, 2, 2)
	next := func() *rig {
		saved := r.engine.ExportLast(r.now)
		next := newRig(t, *r.status().Config)
		next.now = r.now
		next.engine.Restore(saved, 0, r.now)
		return next
	}
	next().want(Edge{Open, HalfOpen, WaitOver}) // there are none
	r.admit()
	r.after(5 * time.Second)
	waiting := next()
	waiting.want(Edge{Closed, Open, Restored})
	waiting.after(15*time.Second - 1)
	waiting.reject()
	waiting.after(1)
	waiting.want(Edge{Open, HalfOpen, WaitOver})
}

// TestRule10NotBeforeProxiesAreThere: half-open begins when the proxies are there that bound
// its probes.
func TestRule10NotBeforeProxiesAreThere(t *testing.T) {
	forced := newRig(t, DefaultConfig())
	forced.force(Open, time.Hour+time.Second)
	for name, before := range map[string]*rig{"open": openRig(t, DefaultConfig()), "half-open": halfOpenRig(t, 1, 1), "forced": forced} {
		cfg := *before.status().Config
		r := newRig(t, cfg)
		r.now = before.now.Add(time.Hour)
		r.engine.Restore(before.engine.Export(before.now), r.now.Add(30*time.Second), r.now)
		r.want(Edge{Closed, Open, Restored})
		r.after(30*time.Second - 1)
		if d := r.reject(); d.RetryAfter != 1 && name != "forced" {
			t.Errorf("%s: it is open for %s more, want 1ns", name, d.RetryAfter)
		}
		r.after(1)
		r.want(Edge{Open, HalfOpen, map[bool]Reason{true: ForceExpired, false: WaitOver}[name == "forced"]})
	}
}

// TestRule10BackoffOutlivesARestart: also for a closed breaker, and not for longer than
// without a restart.
func TestRule10BackoffOutlivesARestart(t *testing.T) {
	cfg := backoffConfig()
	for down, want := range map[time.Duration]uint32{time.Second: 2, 2 * time.Second: 1, 3 * time.Second: 0} {
		r := newRig(t, cfg)
		r.call(Failure)
		r.after(time.Second)
		r.call(Failure)
		r.after(2 * time.Second)
		r.call(Success)
		r = r.restart(cfg, down)
		if got := r.status(); got.Openings != want || got.State != Closed || got.Sequence < 4 {
			t.Errorf("%s later: %s with %d openings and sequence %d, want closed, %d and at least 4", down, got.State, got.Openings, got.Sequence, want)
		}
	}
}

// TestRule10WhatAPersonDidOutlivesARestart: and a policy that changed in the meantime.
func TestRule10WhatAPersonDidOutlivesARestart(t *testing.T) {
	for _, tt := range []struct {
		name  string
		force State
		down  time.Duration
		want  State
		edge  Edge
	}{
		{"open", Open, time.Minute, Open, Edge{Closed, Open, Restored}},
		{"closed", Closed, time.Minute, Closed, Edge{Closed, Closed, Restored}},
		{"open, which has ended", Open, time.Hour, HalfOpen, Edge{Open, HalfOpen, WaitOver}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, runRule(1))
			o := r.force(tt.force, time.Hour)
			for _, cfg := range []Config{runRule(1), runRule(2)} {
				next := r.restart(cfg, tt.down)
				if tt.down < time.Hour {
					next.wantBy(tt.edge, o.By, o.Note, o.Until)
					if got := next.status().Override; got == nil || *got != o {
						t.Errorf("override %+v, want %+v", got, o)
					}
				} else if cfg == runRule(1) {
					next.want(tt.edge)
				} else {
					next.wantState(Closed, 0)
				}
			}
		})
	}
}

// TestRestoreUnderForcedOpen: a policy that holds the breaker open continues to do so.
func TestRestoreUnderForcedOpen(t *testing.T) {
	cfg := runRule(1)
	cfg.Mode = ForcedOpen
	r := newRig(t, cfg)
	r.force(Closed, time.Hour)
	forced := r.restart(cfg, time.Minute)
	forced.want(Edge{Open, Closed, Restored})
	ended := r.restart(cfg, 2*time.Hour)
	ended.wantState(Open, 1)
	ended.reject()
	if next, ok := ended.engine.Advance(ended.now); ok {
		t.Errorf("time ends it at %d", next)
	}
	plain := newRig(t, cfg)
	plain = plain.restart(cfg, time.Minute)
	plain.wantState(Open, 1)
	plain.advanceUntil(plain.now.Add(MaxDuration))
	plain.wantState(Open, 1)
}

// TestRestoreLeavesAlone: breakers with other semantics, breakers that do not exist, and
// breakers that have changed their state already.
func TestRestoreLeavesAlone(t *testing.T) {
	r := openRig(t, DefaultConfig())
	cfg := *r.status().Config
	other := cfg
	other.SuccessThreshold++
	r.restart(other, time.Second).wantState(Closed, 0)

	saved := r.engine.Export(r.now)
	gone := NewEngine(Options{})
	if got, _ := gone.Restore(saved, 0, r.now); len(got) > 0 {
		t.Errorf("restored %v in an engine without breakers", got)
	}
	tripped := openRig(t, cfg)
	tripped.after(30 * time.Second)
	tripped.call(Success, Success, Success)
	if got, _ := tripped.engine.Restore(saved, 0, tripped.now); len(got) > 0 {
		t.Errorf("restored %v over what has happened since", got)
	}
	tripped.wantState(Closed, 3)
}

// TestRestoreBoundsTheWait: the saved time may come from a clock that was wrong.
func TestRestoreBoundsTheWait(t *testing.T) {
	cfg := backoffConfig()
	r := newRig(t, cfg)
	s := Saved{Key: keyA, Config: cfg, State: Open, Since: r.now.Add(time.Hour), Until: never - 1, Openings: 1 << 30, Sequence: 7, Generation: 9}
	if got, _ := r.engine.Restore([]Saved{s}, 0, r.now); len(got) != 1 || got[0] != keyA {
		t.Fatalf("restored %v, want a", got)
	}
	if got := r.status(); got.RetryAfter != 20*time.Second || got.Since != r.now || got.Openings != maxOpenings || got.Sequence != 8 {
		t.Errorf("status %+v, want at most twice the longest wait, from now", got)
	}
	half := newRig(t, cfg)
	s.State, s.Lease = HalfOpen, math.MaxInt64
	half.engine.Restore([]Saved{s}, 0, half.now)
	half.advanceUntil(half.now.Add(MaxDuration))
	half.want(Edge{Open, HalfOpen, WaitOver})
}

// TestExportIsOfWhatMatters: closed breakers that remember nothing are left out.
func TestExportIsOfWhatMatters(t *testing.T) {
	cfg := backoffConfig()
	r := newRig(t, cfg)
	r.call(Success)
	if got := r.engine.Export(r.now); len(got) > 0 {
		t.Errorf("exported %+v of a closed breaker", got)
	}
	r.call(Failure)
	got := r.engine.Export(r.now)
	trip := r.transitions[0]
	want := Saved{Key: keyA, Config: cfg, State: Open, Since: r.now, Until: r.now.Add(time.Second), Openings: 1, Sequence: 1, Generation: 2}
	if len(got) != 1 || got[0].Trip == nil || *got[0].Trip != trip {
		t.Fatalf("exported %+v, want one with its trip %+v", got, trip)
	}
	got[0].Trip = nil
	if got[0] != want {
		t.Errorf("exported %+v, want %+v", got[0], want)
	}
	r.after(time.Second)
	if got := r.engine.Export(r.now); len(got) != 1 || got[0].State != HalfOpen || got[0].Until != r.now.Add(60*time.Second) {
		t.Errorf("exported %+v, want half-open for 60s", got)
	}
	r.want(Edge{Open, HalfOpen, WaitOver}) // by exporting
	r.call(Success)
	r.after(time.Second)
	if got := r.engine.Export(r.now); len(got) > 0 {
		t.Errorf("exported %+v of a breaker that has forgotten its opening", got)
	}
}
