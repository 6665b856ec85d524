package breaker

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestHandoverBesideCalls: calls go on in two engines while a breaker goes to and fro between them. Each is
// counted once, in one of them, and none stays in flight.
func TestHandoverBesideCalls(t *testing.T) {
	cfg := DefaultConfig()
	cfg.ConsecutiveFailures, cfg.WaitDurationInOpenState, cfg.SuccessThreshold = 2, time.Millisecond, 1
	var clock, admitted, rejected atomic.Int64
	now := func() Instant { return Instant(clock.Add(int64(time.Microsecond))) }
	var engines [2]*Engine
	for i := range engines {
		engines[i] = NewEngine(Options{Listen: func(Transition) {}})
		engines[i].Apply([]Spec{{Key: keyA, Config: cfg, Lease: time.Minute}}, now())
	}
	const callers, calls, handovers = 4, 2_000, 1_000
	outcomes := []Outcome{Success, Failure, Failure, Success, Ignored}
	local := func(e *Engine, o Outcome) bool {
		p, d := e.Acquire(keyA, now())
		p.Done(o, now())
		return d.Admitted
	}
	away := func(e, other *Engine, o Outcome) bool {
		probe, generation, d := e.AcquireProbe(keyA, now())
		switch {
		case probe != 0:
			other.SettleProbe(keyA, Settlement{Probe: probe, Outcome: o}, now())
		case d.Admitted:
			other.Report(keyA, []Reported{{Outcome: o, At: now(), Generation: generation}}, now())
		}
		return d.Admitted
	}
	var all sync.WaitGroup
	for c := range callers {
		all.Go(func() {
			for i := range calls {
				o, ok := outcomes[(i+c)%len(outcomes)], false
				if i%2 == 0 {
					ok = local(engines[c%2], o)
				} else {
					ok = away(engines[c%2], engines[i/2%2], o)
				}
				if ok {
					admitted.Add(1)
				} else {
					rejected.Add(1)
				}
			}
		})
	}
	all.Go(func() {
		for i := range handovers {
			h, _ := engines[i%2].HandOver(keyA, now())
			engines[1-i%2].TakeOver(&h, 0, now())
			engines[i%2].Holding(keyA, now())
		}
	})
	all.Wait()
	var sum Counts
	for _, e := range engines {
		s, _ := e.Status(keyA, now())
		sum.sum(&s.Counts)
		if s.InFlight != 0 {
			t.Errorf("%d calls in flight, want none", s.InFlight)
		}
	}
	if got := sum.Successes + sum.Failures + sum.Ignored; got != uint64(admitted.Load()) || sum.Rejected != uint64(rejected.Load()) || admitted.Load()+rejected.Load() != callers*calls {
		t.Errorf("counts %+v, want %d calls and %d rejections", sum, admitted.Load(), rejected.Load())
	}
	if rejected.Load() == 0 {
		t.Error("no call was rejected, want that the breaker opened now and then")
	}
}
