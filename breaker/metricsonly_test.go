package breaker

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestRule9CountsWhatItWouldHaveRejected: with the same calls as a breaker that enforces, a
// breaker in MetricsOnly makes the same transitions. It counts one call for each that the
// other rejects, in open, in half-open and in the ramp.
func TestRule9CountsWhatItWouldHaveRejected(t *testing.T) {
	cfg := runRule(2)
	cfg.SuccessThreshold, cfg.RampDuration, cfg.WaitDurationInOpenState = 2, 5*time.Second, 3*time.Second
	cfg.PermittedNumberOfCallsInHalfOpenState = 1
	enforcing := newRig(t, cfg)
	cfg.Mode = MetricsOnly
	watching := newRig(t, cfg)
	random := rand.New(rand.NewPCG(5, 6))
	type pair struct{ enforced, watched Permit }
	var flying []pair
	rejected := map[State]uint64{}
	for step := range 20_000 {
		pause := time.Duration(random.IntN(int(20 * time.Millisecond)))
		enforcing.after(pause)
		watching.after(pause)
		e, de := enforcing.engine.Acquire(keyA, enforcing.now)
		w, dw := watching.engine.Acquire(keyA, watching.now)
		if !dw.Admitted || dw.State != de.State || dw.RetryAfter != 0 {
			t.Fatalf("step %d: decision %+v, want admitted in %s", step, dw, de.State)
		}
		if !de.Admitted {
			rejected[de.State]++
		}
		flying = append(flying, pair{e, w})
		for len(flying) > 2 {
			i := random.IntN(len(flying))
			// The outcome of a call that the other rejected does not change the state.
			o := []Outcome{Success, Success, Success, Success, Failure, Ignored}[random.IntN(6)]
			if step/2_000%2 == 1 && o == Failure {
				o = Success
			}
			flying[i].enforced.Done(o, enforcing.now)
			flying[i].watched.Done(o, watching.now)
			flying = slices.Delete(flying, i, i+1)
		}
		if got, want := watching.status().Counts.WouldReject, enforcing.status().Counts.Rejected; got != want {
			t.Fatalf("step %d: would have rejected %d, want %d", step, got, want)
		}
	}
	if got, want := withoutMode(watching.transitions), withoutMode(enforcing.transitions); !slices.Equal(got, want) {
		t.Errorf("%d transitions, want the same %d", len(watching.transitions), len(enforcing.transitions))
	}
	if got := watching.status().Counts; got.Rejected != 0 || got.Requests != 20_000 || got.Successes+got.Failures+got.Ignored != 19_998 {
		t.Errorf("counts %+v, want that all 20,000 were admitted", got)
	}
	for s := Closed; s <= Open; s++ {
		if rejected[s] == 0 {
			t.Errorf("nothing was rejected in state %s, so this test tested little", s)
		}
	}
}

// TestRule9TheRestOfHalfOpenIsNotJudged: beyond the permits, calls are admitted, take no slot,
// and are not judged.
func TestRule9TheRestOfHalfOpenIsNotJudged(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Mode, cfg.PermittedNumberOfCallsInHalfOpenState = MetricsOnly, 1
	r := openRig(t, cfg)
	r.after(cfg.WaitDurationInOpenState)
	probe := r.admit()
	rest := r.admit()
	if got := r.status(); got.ProbesInFlight != 1 || got.InFlight != 2 || got.Counts.WouldReject != 1 {
		t.Errorf("status %+v, want one probe and one that would have been rejected", got)
	}
	rest.Done(Failure, r.now)
	r.wantState(HalfOpen, 2)
	probe.Done(Failure, r.now)
	r.want(Edge{HalfOpen, Open, ProbeFailed})
}

// withoutMode returns transitions without the fields in which two modes differ.
func withoutMode(list []Transition) []flatTransition {
	flat := flatten(list)
	for i := range flat {
		flat[i].transition.Mode, flat[i].cause.Mode = 0, 0
	}
	return flat
}
