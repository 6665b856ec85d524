package breaker

import (
	"math"
	"testing"
	"time"
)

const rampTime = 10 * time.Second

// rampRig returns a breaker that has just closed, with a ramp of ten seconds.
func rampRig(t *testing.T, mode Mode) *rig {
	t.Helper()
	cfg := runRule(3)
	cfg.Mode, cfg.SuccessThreshold, cfg.RampDuration = mode, 1, rampTime
	r := openRig(t, cfg)
	r.after(cfg.WaitDurationInOpenState)
	r.call(Success)
	r.want(Edge{HalfOpen, Closed, ProbesSucceeded})
	return r
}

// shareAfter returns the share that a ramp admits that long after closing: 10 % at first, and
// growing evenly to all.
func shareAfter(d time.Duration) float64 { return min(1, 0.1+0.9*float64(d)/float64(rampTime)) }

// TestRampAdmitsItsShareEvenly: at each moment the number of calls admitted so far differs by
// at most one from the share of those that came, whether they come steadily or in bursts.
func TestRampAdmitsItsShareEvenly(t *testing.T) {
	for name, pause := range map[string]func(i int) time.Duration{
		"steadily": func(int) time.Duration { return 3 * time.Millisecond },
		"in bursts": func(i int) time.Duration {
			if i%50 == 0 {
				return 150 * time.Millisecond
			}
			return 0
		},
		"slowly": func(int) time.Duration { return 211 * time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			r := rampRig(t, Enforce)
			closed := r.now
			ideal, admitted, calls := 0.0, 0, 0
			for i := 1; ; i++ {
				r.after(pause(i))
				past := r.now.Sub(closed)
				if past >= rampTime {
					break
				}
				share := shareAfter(past)
				if got := float64(r.status().Admits) / float64(Whole); math.Abs(got-share) > 0.0002 {
					t.Fatalf("after %s it says that it admits %v, want %v", past, got, share)
				}
				ideal += share
				calls++
				p, d := r.engine.Acquire(keyA, r.now)
				if d != (Decision{Admitted: d.Admitted, State: Closed}) {
					t.Fatalf("decision %+v, want closed and no time", d)
				}
				if d.Admitted {
					admitted++
					p.Done(Success, r.now)
				}
				if got := float64(admitted); got < ideal-1 || got > ideal+1 {
					t.Fatalf("%d of %d calls admitted after %s, want %.1f", admitted, calls, past, ideal)
				}
			}
			if got := r.status().Counts.Rejected; got != uint64(calls-admitted) || got == 0 {
				t.Errorf("%d rejected, want %d", got, calls-admitted)
			}
		})
	}
}

// TestRampEnds: it ends at its time. The first call of a ramp is admitted.
func TestRampEnds(t *testing.T) {
	r := rampRig(t, Enforce)
	r.call(Success)
	r.reject()
	r.after(rampTime - 1)
	if got := r.status().Admits; got >= Whole {
		t.Errorf("admits %s at the end of the ramp, want less than all", got)
	}
	r.after(1)
	for range 1000 {
		r.call(Success)
	}
	if got := r.status().Admits; got != Whole {
		t.Errorf("admits %s after the ramp, want all", got)
	}
}

// TestRampTripsAsAnyClosedBreaker: and each ramp begins at the start again.
func TestRampTripsAsAnyClosedBreaker(t *testing.T) {
	r := rampRig(t, Enforce)
	r.after(rampTime / 2)
	failures := 0
	for r.status().State == Closed {
		if p, d := r.engine.Acquire(keyA, r.now); d.Admitted {
			p.Done(Failure, r.now)
			failures++
		}
	}
	if tr := r.want(Edge{Closed, Open, ConsecutiveFailures}); failures != 3 || tr.Window.Failures != 3 {
		t.Errorf("tripped after %d failures with %+v, want 3", failures, tr.Window)
	}
	r.after(30 * time.Second)
	r.call(Success)
	if got := r.status().Admits; got != rampStart {
		t.Errorf("the next ramp begins with %s, want %s", got, rampStart)
	}
}

// TestRampOnlyAfterProbes: an operator or a policy closes the breaker without a ramp.
func TestRampOnlyAfterProbes(t *testing.T) {
	for name, close := range map[string]func(r *rig){
		"reset": func(r *rig) {
			if err := r.engine.Reset(keyA, "me", "fixed", r.now); err != nil {
				r.t.Fatal(err)
			}
		},
		"policy": func(r *rig) {
			cfg := *r.status().Config
			cfg.SuccessThreshold = 7
			r.apply(cfg)
		},
		"force": func(r *rig) { r.force(Closed, time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			r := rampRig(t, Enforce)
			close(r)
			for range 100 {
				r.call(Success)
			}
			if got := r.status().Admits; got != Whole {
				t.Errorf("admits %s, want all", got)
			}
		})
	}
}
