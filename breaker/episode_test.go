package breaker

import (
	"testing"
	"time"
)

// wantCause fails unless the status and the last transition name what began the episode.
func (r *rig) wantCause(what string, reason Reason, calls, failures uint64, at Instant) {
	r.t.Helper()
	c := r.status().cause()
	if c == nil || c.Edge.Reason != reason || c.Window.Calls != calls || c.Window.Failures != failures || c.At != at {
		r.t.Fatalf("%s: the cause is %+v, want %s with %d of %d failed at %d", what, c, reason, failures, calls, at)
	}
	if last := r.transitions[len(r.transitions)-1]; last.Cause != nil && *last.Cause != *c {
		r.t.Errorf("%s: the last transition has the cause %+v, want %+v", what, last.Cause, c)
	}
}

// TestCauseOutlivesProbesAndRestarts: the cause of an episode is known until another episode
// begins, whatever happens in it.
func TestCauseOutlivesProbesAndRestarts(t *testing.T) {
	cfg := rateRule(5_000, 4)
	r := newRig(t, cfg)
	for _, o := range []Outcome{Success, Failure, Success, Failure} {
		r.call(o)
	}
	tripped := r.now
	r.wantCause("tripped", FailureRate, 4, 2, tripped)
	if r.transitions[0].Cause != nil {
		t.Errorf("the trip has the cause %+v, and is one itself", r.transitions[0].Cause)
	}
	r.after(cfg.WaitDurationInOpenState)
	r.status()
	r.wantCause("half-open", FailureRate, 4, 2, tripped)
	r.call(Failure)
	if trip := r.status().trip(); trip.Edge.Reason != ProbeFailed {
		t.Errorf("the last trip is %s, want %s", trip.Edge.Reason, ProbeFailed)
	}
	r.wantCause("a probe failed", FailureRate, 4, 2, tripped)
	for range 2 {
		r = r.restart(cfg, time.Second)
		r.wantCause("restarted", FailureRate, 4, 2, tripped)
		if last := r.transitions[0]; last.Edge.Reason != Restored || last.Cause == nil {
			t.Errorf("%+v, want that a restart names the cause", last)
		}
	}
	r.force(Open, time.Minute)
	r.wantCause("forced", FailureRate, 4, 2, tripped)
	r.after(time.Minute)
	for range cfg.SuccessThreshold {
		r.call(Success)
	}
	r.wantState(Closed, len(r.transitions))
	r.wantCause("closed", FailureRate, 4, 2, tripped)
	if last := r.transitions[len(r.transitions)-1]; last.Cause == nil {
		t.Errorf("%+v, want that the end of an episode names its cause", last)
	}
	r.after(time.Hour)
	r.force(Open, time.Minute)
	r.wantCause("forced anew", Forced, 0, 0, r.now)
	if err := r.engine.Reset(keyA, "bob", "all is well", r.now); err != nil {
		t.Fatal(err)
	}
	if got := r.status().Episode; got != nil {
		t.Errorf("after a reset it remembers %+v", got)
	}
}

// TestCauseOfAnEarlierVersion: a cause that was not saved is the last trip, if that came from
// closed, and is not known otherwise. A restart is never the cause.
func TestCauseOfAnEarlierVersion(t *testing.T) {
	for _, from := range []State{Closed, HalfOpen} {
		r := newRig(t, runRule(1))
		trip := &Transition{Key: keyA, Edge: Edge{from, Open, FailureRate}, Sequence: 3, At: r.now}
		r.engine.Restore([]Saved{{Key: keyA, Config: runRule(1), State: Open, Since: r.now, Until: r.now.Add(time.Second), Trip: trip}}, 0, r.now)
		if got := r.status(); got.State != Open || (got.cause() == trip) != (from == Closed) || from != Closed && got.cause() != nil {
			t.Errorf("from %s: %s with the cause %+v", from, got.State, got.cause())
		}
	}
	held := runRule(1)
	held.Mode = ForcedOpen
	r := newRig(t, held)
	r.engine.Restore([]Saved{{Key: keyA, Config: held, State: Open, Since: r.now, Sequence: 7, Generation: 9}}, 0, r.now)
	r.wantCause("restored without one", PolicyForced, 0, 0, r.now)
}

// TestResetOfAForcedPolicy: a new episode begins.
func TestResetOfAForcedPolicy(t *testing.T) {
	cfg := runRule(1)
	cfg.Mode = ForcedOpen
	r := newRig(t, cfg)
	r.wantCause("made", PolicyForced, 0, 0, r.now)
	r.after(time.Second)
	if err := r.engine.Reset(keyA, "bob", "all is well", r.now); err != nil {
		t.Fatal(err)
	}
	if c := r.status().cause(); c == nil || c.At != r.now || c.By != "bob" {
		t.Errorf("after the reset the cause is %+v, want the reset", c)
	}
}

// TestCauseOfProxies: the sum over proxies has the first cause among the episodes that go on.
func TestCauseOfProxies(t *testing.T) {
	episode := func(at Instant) *Episode { return &Episode{Cause: &Transition{At: at}} }
	for _, tt := range []struct {
		name         string
		x, y         *Episode
		stateX, next State
		want         Instant
	}{
		{"both go on", episode(2), episode(1), Open, HalfOpen, 1},
		{"the later one goes on", episode(1), episode(2), Closed, Open, 2},
		{"the earlier one goes on", episode(1), episode(2), Open, Closed, 1},
		{"both are over", episode(1), episode(2), Closed, Closed, 2},
		{"one has none", nil, episode(2), Closed, Open, 2},
		{"the other has none", episode(1), nil, Open, Closed, 1},
	} {
		s := Status{State: tt.stateX, Episode: tt.x}
		s.Merge(&Status{State: tt.next, Episode: tt.y})
		if got := s.cause(); got == nil || got.At != tt.want {
			t.Errorf("%s: cause %+v, want the one at %d", tt.name, got, tt.want)
		}
	}
}

// TestEffectiveMode: an operator comes before the policy, except where no call asks the breaker.
func TestEffectiveMode(t *testing.T) {
	for _, tt := range []struct {
		mode    Mode
		held    *Override
		want    string
		rejects bool
	}{
		{Enforce, nil, "Enforce", true},
		{MetricsOnly, nil, "MetricsOnly", false},
		{ForcedOpen, nil, "ForcedOpen", true},
		{Disabled, nil, "Disabled", false},
		{MetricsOnly, &Override{State: Open}, ForcedOpenByHand, true},
		{ForcedOpen, &Override{State: Closed}, ForcedClosedByHand, true},
		{Disabled, &Override{State: Open}, "Disabled", false},
	} {
		s := Status{Config: &Config{Mode: tt.mode}, Override: tt.held}
		tr := Transition{Mode: tt.mode}
		if tt.held != nil {
			s.State, tr.Edge.To, tr.Until = tt.held.State, tt.held.State, 1
		}
		if s.EffectiveMode() != tt.want || tr.EffectiveMode() != tt.want || s.Rejects() != tt.rejects || tr.Rejects() != tt.rejects {
			t.Errorf("%s held %+v: %s, rejects %t; its transition %s, %t; want %s, %t", tt.mode, tt.held, s.EffectiveMode(), s.Rejects(), tr.EffectiveMode(), tr.Rejects(), tt.want, tt.rejects)
		}
	}
}
