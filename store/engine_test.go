package store

import (
	"testing"
	"time"

	"breakwater.dev/breaker"
)

// restarted returns an engine that has restored the states in dir after a time without a control plane. It also returns the
// status of its only breaker right after that, and the instant.
func restarted(t *testing.T, dir string, away time.Duration) (engine *breaker.Engine, s breaker.Status, now breaker.Instant) {
	t.Helper()
	clock := later(away)
	f, saved, log := open(t, dir, clock)
	if log != "" {
		t.Errorf("the log has %q, want nothing", log)
	}
	closeFile(t, f)
	engine = engineOf(clock.Instant)
	if restored, _ := engine.Restore(saved, 0, clock.Instant); len(restored) != 1 {
		t.Fatalf("restored %v, want one breaker", restored)
	}
	return engine, engine.Snapshot(clock.Instant)[0], clock.Instant
}

var payments = breaker.Key{Upstream: "payments"}

// engineOf returns an engine with one breaker.
func engineOf(now breaker.Instant) *breaker.Engine {
	e := breaker.NewEngine(breaker.Options{})
	e.Apply([]breaker.Spec{{Key: payments, Config: breaker.DefaultConfig(), Lease: time.Second}}, now)
	return e
}

// export saves the states of an engine in a new directory, as a process does before it ends.
func export(t *testing.T, engine *breaker.Engine) (dir string) {
	t.Helper()
	dir = t.TempDir()
	f, _, _ := open(t, dir, date)
	save(t, f, engine.Export(date.Instant))
	closeFile(t, f)
	return dir
}

// TestRule10OpenStaysOpen shows that an open breaker stays open over a restart for exactly its wait. Neither the restart nor
// a wall clock that was set changes that.
func TestRule10OpenStaysOpen(t *testing.T) {
	engine := engineOf(at(-time.Minute))
	for range 5 {
		p, _ := engine.Acquire(payments, at(-10*time.Second))
		p.Done(breaker.Failure, at(-10*time.Second))
	}
	dir := export(t, engine)
	for _, tt := range []struct {
		name  string
		away  time.Duration
		state breaker.State
		left  time.Duration
	}{
		{"at once", 0, breaker.Open, 20 * time.Second},
		{"15 s later", 15 * time.Second, breaker.Open, 5 * time.Second},
		{"at the end of the wait", 20 * time.Second, breaker.HalfOpen, 0},
		{"the clock was set back by a day", -24 * time.Hour, breaker.Open, 20 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			restored, s, now := restarted(t, dir, tt.away)
			if s.State != tt.state || s.RetryAfter != tt.left {
				t.Fatalf("%s for %s, want %s for %s", s.State, s.RetryAfter, tt.state, tt.left)
			}
			if s.Episode == nil || s.Episode.Trip.Edge.Reason != breaker.ConsecutiveFailures || s.Openings != 1 {
				t.Errorf("episode %+v, openings %d; want the trip from before the restart", s.Episode, s.Openings)
			}
			if tt.state != breaker.Open {
				return
			}
			if _, d := restored.Acquire(payments, now.Add(tt.left-1)); d.Admitted {
				t.Error("a call is admitted before the wait ends")
			}
			if _, d := restored.Acquire(payments, now.Add(tt.left)); !d.Admitted {
				t.Error("no call is admitted when the wait ends")
			}
		})
	}
}

// TestRule10OverridesGoOn shows that overrides stay in force over a restart, and that they also end while no control plane
// runs.
func TestRule10OverridesGoOn(t *testing.T) {
	engine := engineOf(at(-time.Minute))
	override := breaker.Override{State: breaker.Open, By: "ann", Note: "migration", Until: at(time.Hour)}
	if err := engine.Force(payments, override, at(0)); err != nil {
		t.Fatal(err)
	}
	dir := export(t, engine)

	_, s, now := restarted(t, dir, 20*time.Minute)
	override.Until = now.Add(40 * time.Minute)
	if s.State != breaker.Open || s.Override == nil || *s.Override != override {
		t.Errorf("state %s with override %+v, want open with %+v", s.State, s.Override, override)
	}
	_, s, _ = restarted(t, dir, 2*time.Hour)
	if s.State != breaker.HalfOpen || s.Override != nil {
		t.Errorf("state %s with override %+v after its end, want half-open without one", s.State, s.Override)
	}
}
