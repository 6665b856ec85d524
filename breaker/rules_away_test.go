package breaker

import (
	"testing"
	"time"
)

// TestSettleProbe: it has the effect that the permit of a probe has.
func TestSettleProbe(t *testing.T) {
	for name, tt := range map[string]struct {
		s      Settlement
		state  State
		counts Counts // without the three failures that opened the breaker
		again  bool   // another probe is admitted at once
	}{
		"success": {Settlement{Outcome: Success}, Closed, Counts{Successes: 1}, true},
		"failure": {Settlement{Outcome: Failure}, Open, Counts{Failures: 1}, false},
		"timeout": {Settlement{Outcome: Timeout}, Open, Counts{Failures: 1, Timeouts: 1}, false},
		"ignored": {Settlement{Outcome: Ignored}, HalfOpen, Counts{Ignored: 1}, true},
		"slow":    {Settlement{Outcome: Success, Took: time.Hour}, Closed, Counts{Successes: 1, Slow: 1}, true},
		"unsent":  {Settlement{Outcome: Failure, Unsent: true}, HalfOpen, Counts{Ignored: 1}, false},
		"refused": {Settlement{Outcome: Failure, Refused: true}, HalfOpen, Counts{Rejected: 1}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r, s := halfOpenRig(t, 1, 1), tt.s
			var generation uint64
			var d Decision
			s.Probe, generation, d = r.engine.AcquireProbe(keyA, r.now)
			if got := r.status(); !d.Admitted || d.State != HalfOpen || generation != got.Generation || got.ProbesInFlight != 1 || got.InFlight != 0 {
				t.Fatalf("decision %+v in generation %d, status %+v; want a probe", d, generation, got)
			}
			r.reject()
			if !r.engine.SettleProbe(keyA, s, r.now) {
				t.Error("the probe held no slot, want that it did")
			}
			got, want := r.status(), tt.counts
			want.Failures, want.Timeouts, want.Rejected = want.Failures+3, want.Timeouts+1, want.Rejected+1
			want.Requests = want.Successes + want.Failures + want.Ignored + want.Rejected
			if got.State != tt.state || got.Counts != want || got.InFlight != 0 {
				t.Errorf("%s with counts %+v and %d in flight, want %s with %+v", got.State, got.Counts, got.InFlight, tt.state, want)
			}
			if _, d := r.engine.Acquire(keyA, r.now); d.Admitted != tt.again {
				t.Errorf("another call is admitted: %t, want %t", d.Admitted, tt.again)
			}
			if r.after(unsentPause); name == "unsent" {
				r.admit()
			}
		})
	}
}

// TestSettleProbeWithoutSlot: the outcome counts in the totals, and changes no state.
func TestSettleProbeWithoutSlot(t *testing.T) {
	type lose = func(r *rig, probe uint32)
	for name, lose := range map[string]lose{
		"its lease is over":     func(r *rig, _ uint32) { r.after(20 * time.Second) },
		"it is settled already": func(r *rig, p uint32) { r.engine.SettleProbe(keyA, Settlement{Probe: p, Outcome: Ignored}, r.now) },
		"it was released":       func(r *rig, p uint32) { r.report(Reported{Uploading: p}) },
		"the state has ended":   func(r *rig, _ uint32) { r.after(60 * time.Second) },
		"it is handed over":     func(r *rig, _ uint32) { r.engine.HandOver(keyA, r.now) },
	} {
		t.Run(name, func(t *testing.T) {
			r := halfOpenRig(t, 2, 2)
			probe, _, _ := r.engine.AcquireProbe(keyA, r.now)
			lose(r, probe)
			before := r.status()
			for _, s := range []Settlement{{Probe: probe, Outcome: Failure}, {Probe: probe, Outcome: Failure, Unsent: true}, {Outcome: Failure}} {
				if r.engine.SettleProbe(keyA, s, r.now) {
					t.Errorf("%+v: the probe held a slot, want that it did not", s)
				}
			}
			got := r.status()
			if got.State != before.State || got.Counts.Failures != before.Counts.Failures+3 || got.Counts.Requests != before.Counts.Requests+3 || got.InFlight != 0 {
				t.Errorf("status %+v after three failures, want only the totals changed in %+v", got, before)
			}
		})
	}
	if NewEngine(Options{}).SettleProbe(keyA, Settlement{Probe: firstProbe}, epoch) {
		t.Error("a breaker that does not exist has a probe")
	}
}

// TestSettleProbeOfAPermit: a probe that has a permit can be settled by its id in its place.
func TestSettleProbeOfAPermit(t *testing.T) {
	r := halfOpenRig(t, 1, 1)
	p := r.admit()
	if !r.engine.SettleProbe(keyA, Settlement{Probe: p.Probe(), Outcome: Success}, r.now) {
		t.Error("the probe held no slot, want that it did")
	}
	r.want(Edge{HalfOpen, Closed, ProbesSucceeded})
	if got := r.status(); got.InFlight != 0 {
		t.Errorf("%d in flight, want none", got.InFlight)
	}
}

// TestHandedOverProbes: they keep their slots, and their ids are given to no other probe. A permit of this
// engine that has the same id by accident does nothing to them.
func TestHandedOverProbes(t *testing.T) {
	other := halfOpenRig(t, 2, 2)
	own := other.admit()
	other.engine.Forsake(keyA, other.now)

	r := halfOpenRig(t, 2, 2)
	first := r.admit()
	h, _ := r.engine.HandOver(keyA, r.now)
	other.take(&h, 0)
	if first.Probe() != own.Probe() {
		t.Fatalf("ids %d and %d, want the same", first.Probe(), own.Probe())
	}
	if own.Held() {
		t.Error("a probe from before holds the slot of another")
	}
	own.Unsent(Failure, 0, other.now)
	if got := other.status(); got.ProbesInFlight != 1 || got.InFlight != 0 {
		t.Errorf("%d probes and %d calls in flight, want one probe", got.ProbesInFlight, got.InFlight)
	}
	second := other.admit()
	if second.Probe() <= first.Probe() {
		t.Errorf("the next probe is %d, want one above %d", second.Probe(), first.Probe())
	}
	other.reject()
	if other.after(20*time.Second - 1); !other.engine.SettleProbe(keyA, Settlement{Probe: first.Probe(), Outcome: Success}, other.now) {
		t.Error("the probe held no slot at the end of its lease, want that it did")
	}
	second.Done(Success, other.now)
	other.want(Edge{HalfOpen, Closed, ProbesSucceeded})
	first.Done(Success, r.now)
	if got := r.status(); got.InFlight != 0 || got.State != Closed {
		t.Errorf("%s with %d in flight at the first owner, want closed and none", got.State, got.InFlight)
	}
	h.LastProbe = 1 << 30
	next := r.beside(h.Config)
	next.take(&h, 0)
	if got := next.admit().Probe(); got != 1<<30+1 {
		t.Errorf("the next probe is %d, want one above the last", got)
	}
}

// TestAcquireProbeInOtherStates: the decision is the same as for any call, and nothing is in flight.
func TestAcquireProbeInOtherStates(t *testing.T) {
	empty := NewEngine(Options{})
	if probe, generation, d := empty.AcquireProbe(keyA, epoch); probe != 0 || generation != 0 || !d.Admitted {
		t.Errorf("probe %d, generation %d, %+v without a breaker; want admitted", probe, generation, d)
	}
	for name, make := range situations {
		if name == "half-open" {
			continue
		}
		r, local := make(t), make(t)
		before := r.status()
		probe, generation, got := r.engine.AcquireProbe(keyA, r.now)
		_, want := local.engine.Acquire(keyA, local.now)
		if probe != 0 || generation != before.Generation || got != want {
			t.Errorf("%s: probe %d, generation %d, %+v; want none, %d, %+v", name, probe, generation, got, before.Generation, want)
		}
		if !want.Admitted {
			before.Counts.Rejected++
		}
		before.Counts.Requests = before.Counts.Rejected + before.Counts.Successes + before.Counts.Failures
		if after := r.status(); after.Counts != before.Counts || after.InFlight != before.InFlight {
			t.Errorf("%s: counts %+v and %d in flight, want %+v and %d", name, after.Counts, after.InFlight, before.Counts, before.InFlight)
		}
	}
}
