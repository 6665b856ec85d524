package breaker

import (
	"testing"
	"time"
)

// newDecider returns an engine with a breaker for all proxies and one for each, which trip at the first failure.
func newDecider(t *testing.T, shared, own Key) (*Engine, Decider) {
	t.Helper()
	c := DefaultConfig()
	c.ConsecutiveFailures, c.PermittedNumberOfCallsInHalfOpenState = 1, 1
	e := NewEngine(Options{})
	e.Apply([]Spec{{Key: shared, Config: c, Lease: time.Minute}, {Key: own, Config: c, Lease: time.Minute, PerNode: true}}, 1)
	return e, e.Decider()
}

// TestDeciderAsksTheBreakerOfTheSubject: the breaker of the key, or of the proxy where each
// proxy has one.
func TestDeciderAsksTheBreakerOfTheSubject(t *testing.T) {
	shared, own := Key{Upstream: "web"}, Key{Upstream: "own"}
	e, d := newDecider(t, shared, own)
	one, two := Key{Upstream: "own", Node: "one"}, Key{Upstream: "own", Node: "two"}
	failure := []Reported{{Outcome: Failure, At: 2}}
	d.Report(Subject{Key: one, Owner: "shop"}, failure, 2)
	if _, known := d.Status(two, 2); known {
		t.Error("a proxy that nobody has asked about has a breaker")
	}
	for key, admitted := range map[Key]bool{own: true, one: false, two: true, shared: true, {Upstream: "web", Node: "one"}: true, {Upstream: "none"}: true} {
		lease, decision := d.Acquire(t.Context(), Subject{Key: key}, false, 3)
		if decision.Admitted != admitted || (lease != nil) != admitted {
			t.Errorf("%s: admitted %t with lease %v, want %t", key, decision.Admitted, lease, admitted)
		}
		if lease != nil {
			lease.Settle(Ignored, 0, 3)
		}
	}
	if s, known := d.Status(two, 3); !known || s.State != Closed {
		t.Errorf("the breaker of a proxy that asked is %s, known %t", s.State, known)
	}
	d.Rejected(Subject{Key: one}, 7, 4)
	if s, _ := d.Status(one, 4); s.Counts.Rejected != 8 || s.State != Open {
		t.Errorf("%d rejected in state %s, want 8 in open", s.Counts.Rejected, s.State)
	}
	if s := e.Breaker(shared).Status(4); s.Counts.Failures != 0 {
		t.Error("the failure of a proxy's own breaker is counted elsewhere, too")
	}
	d.Report(Subject{Key: Key{Upstream: "none"}}, failure, 4)
	d.Rejected(Subject{Key: Key{Upstream: "none", Node: "one"}}, 1, 4)
}

// TestDeciderLeases: a lease is a permit, and the probe of a half-open breaker is held until it is settled.
func TestDeciderLeases(t *testing.T) {
	shared := Key{Upstream: "web"}
	_, d := newDecider(t, shared, Key{Upstream: "own"})
	s := Subject{Key: shared}
	first, _ := d.Acquire(t.Context(), s, true, 2)
	if first.Held() || first.Probe() != 0 {
		t.Error("a call of a closed breaker is a probe")
	}
	first.Settle(Failure, 0, 2)
	later := Instant(DefaultConfig().WaitDurationInOpenState) + 3
	probe, decision := d.Acquire(t.Context(), s, false, later)
	if decision.State != HalfOpen || !probe.Held() || probe.Probe() == 0 {
		t.Fatalf("in state %s the lease is held: %t, with id %d", decision.State, probe.Held(), probe.Probe())
	}
	if none, _ := d.Acquire(t.Context(), s, false, later); none != nil {
		t.Error("there is a second probe")
	}
	probe.Settle(Success, 0, later)
	if probe.Held() {
		t.Error("a settled probe is held")
	}
}

// TestDeciderAllocates: it allocates a lease for an admitted call, and nothing for a rejected one.
func TestDeciderAllocates(t *testing.T) {
	shared := Key{Upstream: "web"}
	_, d := newDecider(t, shared, Key{Upstream: "own"})
	s, ctx := Subject{Key: shared}, t.Context()
	if n := testing.AllocsPerRun(100, func() {
		lease, _ := d.Acquire(ctx, s, false, 2)
		lease.Settle(Success, 0, 2)
	}); n != 1 {
		t.Errorf("%v allocations for an admitted call, want 1", n)
	}
	d.Report(s, []Reported{{Outcome: Failure, At: 2}}, 2)
	if n := testing.AllocsPerRun(100, func() { _, _ = d.Acquire(ctx, s, false, 3) }); n != 0 {
		t.Errorf("%v allocations for a rejected call, want none", n)
	}
}
