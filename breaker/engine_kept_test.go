package breaker

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestRemovedAndAddedAgain: a breaker that was open, half-open or held by an operator goes
// on where it was, until that would have ended.
func TestRemovedAndAddedAgain(t *testing.T) {
	forced := func(s State) func(*testing.T) *rig {
		return func(t *testing.T) *rig {
			r := newRig(t, DefaultConfig())
			r.force(s, 10*time.Minute)
			return r
		}
	}
	for name, tt := range map[string]struct {
		rig   func(*testing.T) *rig
		away  time.Duration
		want  State
		after time.Duration // how long that lasts
	}{
		"closed":            {func(t *testing.T) *rig { return newRig(t, DefaultConfig()) }, time.Second, Closed, 0},
		"open":              {func(t *testing.T) *rig { return openRig(t, DefaultConfig()) }, 10 * time.Second, Open, 20 * time.Second},
		"open, too late":    {func(t *testing.T) *rig { return openRig(t, DefaultConfig()) }, 30 * time.Second, Closed, 0},
		"half-open":         {func(t *testing.T) *rig { return halfOpenRig(t, 3, 3) }, 10 * time.Second, Open, 20 * time.Second},
		"forced":            {forced(Open), 9 * time.Minute, Open, time.Minute},
		"forced closed":     {forced(Closed), 9 * time.Minute, Closed, time.Minute},
		"forced, too late":  {forced(Open), 10 * time.Minute, Closed, 0},
		"forced, longer so": {forced(Open), time.Minute, Open, 9 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			r := tt.rig(t)
			before := r.status()
			removed := r.engine.Apply(nil, r.now)
			if plain := before.State == Closed && before.Override == nil; plain != (len(removed.Kept) == 0) {
				t.Errorf("kept %+v of %+v", removed.Kept, before)
			}
			r.after(tt.away)
			r.transitions = nil
			added := r.apply(*before.Config)
			restored := tt.after > 0
			if restored != (len(added.Restored) == 1) || restored != (len(r.transitions) == 1) {
				t.Errorf("changes %+v and transitions %+v, want restored %t", added, r.transitions, restored)
			}
			r.wantState(tt.want, len(r.transitions))
			switch got := r.status(); {
			case !restored:
			case got.Sequence != before.Sequence+1:
				t.Errorf("its last transition is number %d, want the one after %d", got.Sequence, before.Sequence)
			case got.Override != nil && got.Override.Until != r.now.Add(tt.after), got.Override == nil && got.RetryAfter != tt.after:
				t.Errorf("for %s, %+v; want for %s", got.RetryAfter, got.Override, tt.after)
			}
		})
	}
}

// TestRemovedAndAddedDifferent: with other semantics it starts again, but an override stays.
func TestRemovedAndAddedDifferent(t *testing.T) {
	r := openRig(t, DefaultConfig())
	r.engine.Apply(nil, r.now)
	if ch := r.apply(runRule(7)); len(ch.Restored) > 0 || r.status().State != Closed {
		t.Errorf("restored %v under another policy", ch.Restored)
	}
	o := r.force(Open, time.Hour)
	r.engine.Apply(nil, r.now)
	if ch := r.apply(runRule(8)); len(ch.Restored) != 1 || r.status().Override == nil || *r.status().Override != o {
		t.Errorf("restored %v and forced %+v, want that it is still forced", ch.Restored, r.status().Override)
	}
}

// TestRemovedIsKeptOverARestart: also where it was removed while no process ran.
func TestRemovedIsKeptOverARestart(t *testing.T) {
	r := newRig(t, DefaultConfig())
	o := r.force(Open, time.Hour)
	there := r.engine.Export(r.now)
	r.engine.Apply(nil, r.now)
	removed := r.engine.Export(r.now)
	for name, saved := range map[string][]Saved{"removed before": removed, "removed meanwhile": there} {
		next := &rig{t: t, now: r.now.Add(time.Minute), engine: NewEngine(Options{})}
		if got, lost := next.engine.Restore(saved, 0, next.now); len(got)+len(lost) > 0 {
			t.Errorf("%s: restored %v, which is not there", name, got)
		}
		next.apply(DefaultConfig())
		if got := next.status().Override; got == nil || *got != o {
			t.Errorf("%s: forced %+v, want %+v", name, got, o)
		}
		if got := next.engine.Export(next.now); len(got) != 1 {
			t.Errorf("%s: exported %+v, want it once", name, got)
		}
	}
}

// TestRemovedNodesAreKept: the breakers of proxies are kept, too, and do nothing else.
func TestRemovedNodesAreKept(t *testing.T) {
	r := nodeRig(t, runRule(1))
	r.node("n1", Failure)
	r.node("n2", Success)
	r.engine.Apply(nil, r.now)
	if ch := r.perNode(runRule(1)); len(ch.Restored) != 1 || ch.Restored[0].Node != "n1" {
		t.Errorf("restored %v, want n1", ch.Restored)
	}
	if got := r.engine.Breaker(Key{Upstream: "a", Node: "n1"}).Status(r.now).State; got != Open {
		t.Errorf("n1 is %s, want open", got)
	}
	r.engine.Apply(nil, r.now)
	if ch := r.apply(runRule(1)); len(ch.Restored) > 0 || r.status().State != Closed {
		t.Errorf("what one proxy's breaker was became that of all: %v, %s", ch.Restored, r.status().State)
	}
}

// TestWhatIsKeptAndNotTakenUp: Apply says what is lost: the state of a breaker with other
// semantics, and the state of a proxy's breaker where all proxies share one now.
func TestWhatIsKeptAndNotTakenUp(t *testing.T) {
	r := openRig(t, DefaultConfig())
	r.engine.Apply(nil, r.now)
	if ch := r.apply(runRule(7)); !slices.Equal(ch.Forgotten, []Key{keyA}) {
		t.Errorf("forgotten %v under another policy, want a", ch.Forgotten)
	}
	r = openRig(t, DefaultConfig())
	saved := r.engine.Export(r.now)
	next := newRig(t, runRule(7))
	if restored, lost := next.engine.Restore(saved, 0, next.now); len(restored) > 0 || !slices.Equal(lost, []Key{keyA}) {
		t.Errorf("restored %v and lost %v under another policy, want none and a", restored, lost)
	}
	r.engine.Apply(nil, r.now)
	r.after(30 * time.Second)
	if ch := r.apply(runRule(7)); len(ch.Forgotten) > 0 {
		t.Errorf("forgotten %v that had ended", ch.Forgotten)
	}
	n1 := Key{Upstream: "a", Node: "n1"}
	r = nodeRig(t, runRule(1))
	r.node("n1", Failure)
	r.engine.Apply(nil, r.now)
	if ch := r.apply(runRule(1)); !slices.Equal(ch.Forgotten, []Key{n1}) {
		t.Errorf("forgotten %v in another scope, want n1", ch.Forgotten)
	}
}

// TestRestoreOfTooMuch: Restore says what it could not keep.
func TestRestoreOfTooMuch(t *testing.T) {
	var saved []Saved
	for i := range maxKept + 2 {
		saved = append(saved, Saved{Key: Key{Upstream: fmt.Sprint(i)}, Config: runRule(1), State: Open, Until: epoch.Add(time.Hour)})
	}
	if restored, lost := NewEngine(Options{}).Restore(saved, 0, epoch); len(restored) > 0 || len(lost) != 2 {
		t.Errorf("restored %v and lost %v, want two lost", restored, lost)
	}
}

// TestScopeChangesUnderAForce: an override of the breaker stays; Apply says that the
// override of a single proxy is lost.
func TestScopeChangesUnderAForce(t *testing.T) {
	r := nodeRig(t, runRule(1))
	r.node("n1", Success)
	o := r.force(Open, time.Hour)
	if r.apply(runRule(1)); r.status().Override == nil || *r.status().Override != o {
		t.Errorf("forced %+v, want %+v", r.status().Override, o)
	}
	r = nodeRig(t, runRule(1))
	r.node("n1", Success)
	if err := r.engine.Force(Key{Upstream: "a", Node: "n1"}, o, r.now); err != nil {
		t.Fatal(err)
	}
	if ch := r.apply(runRule(1)); len(ch.Forgotten) != 1 || ch.Forgotten[0].Node != "n1" {
		t.Errorf("forgotten %v, want n1", ch.Forgotten)
	}
}

// TestWhatIsKeptIsBounded: and breakers whose state has ended make room.
func TestWhatIsKeptIsBounded(t *testing.T) {
	e := NewEngine(Options{})
	var specs []Spec
	for i := range maxKept + 1 {
		specs = append(specs, spec(fmt.Sprint(i), runRule(1)))
	}
	remove := func(now Instant) Changes {
		e.Apply(specs, now)
		for i := range specs {
			if err := e.Force(specs[i].Key, Override{State: Open, By: "b", Note: "n", Until: now.Add(time.Hour)}, now); err != nil {
				t.Fatal(err)
			}
		}
		return e.Apply(nil, now)
	}
	for _, now := range []Instant{epoch, epoch.Add(time.Minute), epoch.Add(2 * time.Hour)} {
		if ch := remove(now); len(ch.Kept) != maxKept || len(ch.Forgotten) != 1 || len(e.Export(now)) != maxKept {
			t.Errorf("kept %d and forgot %d, want %d and 1", len(ch.Kept), len(ch.Forgotten), maxKept)
		}
	}
}
