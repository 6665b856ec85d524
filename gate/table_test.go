package gate

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
)

// rig is a table with an engine, and a clock that the test sets.
type rig struct {
	t           *testing.T
	engine      *breaker.Engine
	table       *Table
	now         breaker.Instant
	transitions []breaker.Transition
	nodes       []Proxy
}

var (
	keyWeb   = breaker.Key{Upstream: "web"}
	keyQuiet = breaker.Key{Upstream: "quiet"}
	keyDB    = breaker.Key{Upstream: "db"}
	keyOwn   = breaker.Key{Upstream: "own"}
	keyAsk   = breaker.Key{Upstream: "ask"}
)

func quick() breaker.Config {
	c := breaker.DefaultConfig()
	c.ConsecutiveFailures, c.RampDuration = 1, 10*time.Second
	return c
}

// set returns a policy with a breaker of each kind.
func set(c breaker.Config) *policy.Set {
	s := &policy.Set{}
	add := func(key breaker.Key, protocol policy.Protocol, path policy.DataPath, perNode bool) {
		spec := breaker.Spec{Key: key, Config: c, Lease: time.Minute, PerNode: perNode}
		s.Upstreams = append(s.Upstreams, &policy.Upstream{
			Name: key.Upstream, Protocol: protocol,
			Routes: []policy.Route{{Breaker: &policy.Breaker{Spec: spec, DataPath: path}}},
		})
	}
	add(keyAsk, policy.HTTP1, policy.Inline, false)
	add(keyDB, policy.TCP, policy.Adaptive, false)
	add(keyOwn, policy.HTTP1, policy.Adaptive, true)
	add(keyQuiet, policy.HTTP1, policy.Adaptive, false)
	add(keyWeb, policy.HTTP1, policy.Adaptive, false)
	return s
}

func newRig(t *testing.T, c breaker.Config) *rig {
	r := &rig{t: t, now: breaker.Instant(time.Hour)}
	r.engine = breaker.NewEngine(breaker.Options{Listen: func(tr breaker.Transition) { r.transitions = append(r.transitions, tr) }})
	r.table = NewTable()
	r.apply(set(c))
	return r
}

func (r *rig) apply(s *policy.Set) {
	r.engine.Apply(s.Specs(), r.now)
	if r.table.Apply(s) {
		r.table.Adopt(r.engine.Snapshot(r.now))
	}
}

// fail trips a breaker that had traffic calls per second.
func (r *rig) fail(key breaker.Key, traffic float64) {
	r.engine.Report(key, []breaker.Reported{{Outcome: breaker.Failure, At: r.now}}, r.now)
	r.deliver(traffic)
}

func (r *rig) deliver(traffic float64) {
	for _, tr := range r.transitions {
		r.table.Watch(tr.Key, traffic)
	}
	r.transitions = nil
}

// force opens a breaker by hand, for a minute.
func (r *rig) force(key breaker.Key) {
	r.t.Helper()
	o := breaker.Override{State: breaker.Open, By: "alice", Note: "a reason", Until: r.now.Add(time.Minute)}
	if err := r.engine.Force(key, o, r.now); err != nil {
		r.t.Fatal(err)
	}
	r.deliver(0)
}

// pass lets time pass.
func (r *rig) pass(d time.Duration) {
	r.now = r.now.Add(d)
	r.engine.Advance(r.now)
	r.deliver(0)
}

// input returns the current input, in which these proxies call every upstream.
func (r *rig) input(proxies []Proxy) *Input {
	in := &Input{Now: r.now, Proxies: map[string][]Proxy{}}
	for _, key := range r.table.Watched() {
		if b := r.engine.Breaker(key); b != nil {
			s := b.Status(r.now)
			in.Statuses = append(in.Statuses, s)
			if r.table.NeedsProxies(&s) {
				in.Proxies[key.Upstream] = proxies
			}
		}
	}
	return in
}

func (r *rig) gates(proxies []Proxy) ([]Gate, breaker.Instant) {
	return r.table.Gates(r.input(proxies))
}

// want checks the gates, and that they are valid for the time next; 0: for ever.
func (r *rig) want(next time.Duration, want ...Gate) {
	r.t.Helper()
	gates, at := r.gates(r.nodes)
	if diff := cmp.Diff(want, gates); diff != "" {
		r.t.Errorf("gates (-want +got):\n%s", diff)
	}
	wanted := never
	if next > 0 {
		wanted = r.now.Add(next)
	}
	if at != wanted {
		r.t.Errorf("the gates are valid for %s, want %s", at.Sub(r.now), wanted.Sub(r.now))
	}
}

func TestGatesFromTripToClosed(t *testing.T) {
	r := newRig(t, quick())
	r.want(0)
	r.fail(keyWeb, 5_000)
	r.fail(keyQuiet, 10)
	r.want(0, Gate{Key: keyQuiet, Open: 1e6}, Gate{Key: keyWeb, Open: 1e6})

	r.pass(30 * time.Second)
	r.want(time.Second, Gate{Key: keyQuiet, Probe: true}, Gate{Key: keyWeb, Open: 990_000, Probe: true})
	r.pass(2500 * time.Millisecond)
	r.want(500*time.Millisecond, Gate{Key: keyQuiet, Probe: true}, Gate{Key: keyWeb, Open: 960_000, Probe: true})
	r.pass(5 * time.Second)
	r.want(0, Gate{Key: keyQuiet, Probe: true}, Gate{Key: keyWeb, Probe: true})

	for range 3 {
		p, _ := r.engine.Acquire(keyWeb, r.now)
		p.Done(breaker.Success, r.now)
	}
	r.deliver(0)
	r.want(500*time.Millisecond, Gate{Key: keyQuiet, Probe: true}, Gate{Key: keyWeb, Open: 900_000})
	r.pass(5 * time.Second)
	r.want(500*time.Millisecond, Gate{Key: keyQuiet, Probe: true}, Gate{Key: keyWeb, Open: 450_000})
	r.pass(5 * time.Second)
	r.want(0, Gate{Key: keyQuiet, Probe: true})
}

// TestTrafficBeforeTheTripCounts, and not the traffic at the time when a probe failed.
func TestTrafficBeforeTheTripCounts(t *testing.T) {
	r := newRig(t, quick())
	r.fail(keyWeb, 500)
	r.pass(30 * time.Second)
	r.want(time.Second, Gate{Key: keyWeb, Open: 900_000, Probe: true})
	p, _ := r.engine.Acquire(keyWeb, r.now)
	p.Done(breaker.Failure, r.now)
	r.deliver(1)
	r.want(0, Gate{Key: keyWeb, Open: 1e6})
	r.pass(30 * time.Second)
	r.want(time.Second, Gate{Key: keyWeb, Open: 900_000, Probe: true})
}

func TestSetSampling(t *testing.T) {
	r := newRig(t, quick())
	sample := func(key breaker.Key, passed, rejected uint32, want bool) {
		t.Helper()
		if got := r.table.SetSampling(key, wire.Sampling{Passed: passed, Rejected: rejected}); got != want {
			t.Errorf("SetSampling(%s, {%d, %d}) = %t, want %t", key, passed, rejected, got, want)
		}
	}
	sample(keyWeb, 0, 1, false)
	sample(keyWeb, 8, 1, true)
	sample(keyWeb, 8, 0, false)
	sample(breaker.Key{Upstream: "gone"}, 8, 1, false)
	r.want(0, Gate{Key: keyWeb, Sampling: wire.Sampling{Passed: 8, Rejected: 1}})
	r.fail(keyWeb, 0)
	sample(keyWeb, 8, 4, true)
	r.want(0, Gate{Key: keyWeb, Open: 1e6, Sampling: wire.Sampling{Passed: 8, Rejected: 4}})
	r.engine.Reset(keyWeb, "alice", "a reason", r.now)
	r.deliver(0)
	r.want(0, Gate{Key: keyWeb, Sampling: wire.Sampling{Passed: 8, Rejected: 4}})
	sample(keyWeb, 1, 1, true)
	r.want(0)
}

// TestLogAll shows that a sampled breaker has all its calls logged until the next sampling says otherwise, and that nothing
// changes where all calls are logged anyway.
func TestLogAll(t *testing.T) {
	r := newRig(t, quick())
	logAll := func(key breaker.Key, want bool) {
		t.Helper()
		if got := r.table.LogAll(key); got != want {
			t.Errorf("LogAll(%s) = %t, want %t", key, got, want)
		}
	}
	logAll(keyWeb, false)
	logAll(breaker.Key{Upstream: "gone"}, false)
	r.want(0)
	sampled := wire.Sampling{Passed: 8, Rejected: 1}
	exact := sampled
	exact.Exact = true
	r.table.SetSampling(keyWeb, sampled)
	logAll(keyWeb, true)
	logAll(keyWeb, false)
	r.want(0, Gate{Key: keyWeb, Sampling: exact})
	if r.table.SetSampling(keyWeb, exact) {
		t.Error("the same sampling changes the gates")
	}
	if !r.table.SetSampling(keyWeb, sampled) {
		t.Error("the end of the exact log does not change the gates")
	}
	r.want(0, Gate{Key: keyWeb, Sampling: sampled})
}

// TestEachNodeHasItsOwnGate, in which the sampling is the same for all nodes.
func TestEachNodeHasItsOwnGate(t *testing.T) {
	r := newRig(t, quick())
	one := keyOwn
	one.Node = "one"
	r.table.SetSampling(keyOwn, wire.Sampling{Passed: 2, Rejected: 1})
	r.fail(one, 100)
	r.want(0, Gate{Key: keyOwn, Sampling: wire.Sampling{Passed: 2, Rejected: 1}}, Gate{Key: one, Open: 1e6, Sampling: wire.Sampling{Passed: 2, Rejected: 1}})
}

// TestProxiesHaveTheirOwnGatesAlone: where each proxy has a breaker, the one for all proxies has a gate only while an
// operator or the policy holds it open. A proxy whose own breaker is closed meanwhile is let through.
func TestProxiesHaveTheirOwnGatesAlone(t *testing.T) {
	c := quick()
	c.RampDuration = 0
	r := newRig(t, c)
	one, two := keyOwn, keyOwn
	one.Node, two.Node = "one", "two"
	r.engine.Node(keyOwn, "one", r.now)
	r.engine.Node(keyOwn, "two", r.now)
	r.fail(keyOwn, 0)
	r.want(0)
	r.force(keyOwn)
	open := []Gate{{Key: keyOwn, Open: 1e6}, {Key: one, Open: 1e6}, {Key: two, Open: 1e6}}
	r.want(0, open...)
	if err := r.engine.Reset(one, "bob", "it works here", r.now); err != nil {
		t.Fatal(err)
	}
	r.deliver(0)
	open[1].Open = 0
	r.want(0, open...)

	restored := newRig(t, c)
	restored.engine.Restore(r.engine.Export(r.now), 0, restored.now)
	restored.engine.Node(keyOwn, "one", r.now)
	if err := restored.engine.Reset(one, "bob", "it works here", r.now); err != nil {
		t.Fatal(err)
	}
	restored.table.Adopt(restored.engine.Snapshot(restored.now))
	restored.want(0, open...)

	r.pass(time.Minute)
	r.want(0, Gate{Key: two, Probe: true})
	for range 3 {
		p, _ := r.engine.Breaker(two).Acquire(r.now)
		p.Done(breaker.Success, r.now)
	}
	r.deliver(0)
	for range 10 {
		r.want(0)
		r.pass(time.Minute)
	}
	if s := r.engine.Breaker(keyOwn).Status(r.now); s.State != breaker.Closed {
		t.Errorf("the breaker for all proxies, which no proxy calls, is %s", s.State)
	}
}

// TestTheRateIsForgottenWithTheTrip: the next trip has a rate of its own.
func TestTheRateIsForgottenWithTheTrip(t *testing.T) {
	c := quick()
	c.RampDuration = 0
	r := newRig(t, c)
	r.fail(keyWeb, 5_000)
	if err := r.engine.Reset(keyWeb, "alice", "a reason", r.now); err != nil {
		t.Fatal(err)
	}
	r.deliver(0)
	r.want(0)
	r.fail(keyWeb, 500)
	r.pass(30 * time.Second)
	r.want(time.Second, Gate{Key: keyWeb, Open: 900_000, Probe: true})
}

// TestTheRateMayComeLate: a breaker that was adopted gets its rate with its next transition. A breaker without traffic
// before its trip has none, since its later calls were rejected.
func TestTheRateMayComeLate(t *testing.T) {
	r := newRig(t, quick())
	r.engine.Report(keyWeb, []breaker.Reported{{Outcome: breaker.Failure, At: r.now}}, r.now)
	r.transitions = nil // the process has restarted since
	r.table.Adopt(r.engine.Snapshot(r.now))
	r.fail(keyQuiet, 0)
	for range 2 {
		r.now = r.now.Add(30 * time.Second)
		r.engine.Advance(r.now)
		r.deliver(5_000)
		r.want(time.Second, Gate{Key: keyQuiet, Probe: true}, Gate{Key: keyWeb, Open: 990_000, Probe: true})
		for _, key := range []breaker.Key{keyQuiet, keyWeb} {
			p, _ := r.engine.Acquire(key, r.now)
			p.Done(breaker.Failure, r.now)
		}
		r.deliver(1)
	}
}

// TestMetricsOnlyHasNoGates, unless an operator forces it.
func TestMetricsOnlyHasNoGates(t *testing.T) {
	c := quick()
	c.Mode = breaker.MetricsOnly
	r := newRig(t, c)
	r.fail(keyWeb, 100)
	r.want(0)
	r.force(keyWeb)
	r.want(0, Gate{Key: keyWeb, Open: 1e6})
}

// TestPolicyChanges shows that a breaker has its gate in either data path, so that it stays open when that changes. A
// breaker that the policy no longer has has no gate.
func TestPolicyChanges(t *testing.T) {
	r := newRig(t, quick())
	r.fail(keyAsk, 0)
	r.fail(keyWeb, 0)
	r.table.SetSampling(keyWeb, wire.Sampling{Passed: 2})
	r.want(0, Gate{Key: keyAsk, Open: 1e6}, Gate{Key: keyWeb, Open: 1e6, Sampling: wire.Sampling{Passed: 2, Rejected: 1}})
	next := set(quick())
	next.Upstreams[0].Routes[0].Breaker.DataPath = policy.Adaptive
	next.Upstreams = next.Upstreams[:4]
	r.apply(next)
	r.want(0, Gate{Key: keyAsk, Open: 1e6})
}
