package peers

import (
	"testing"
	"time"

	"breakwater.dev/breaker"
)

// TestBreakersOfProxiesAreKnown shows that all replicas know a proxy's breaker that has never changed its state, and that its failures
// go with it when its owner leaves.
func TestBreakersOfProxiesAreKnown(t *testing.T) {
	all := specs(1)
	all[0].PerNode = true
	w := newWorld(1, all)
	w.fail = t.Fatalf
	for range 3 {
		w.start()
	}
	w.run(10 * time.Second)
	key := breaker.Key{Upstream: all[0].Key.Upstream, Node: "proxy"}
	owner := w.replica(w.replicas[0].router.core.Owner(key))
	fail := func(p *replica) {
		p.do(func() {
			p.router.Report(breaker.Subject{Key: key}, []breaker.Reported{{Outcome: breaker.Failure, At: p.now()}}, p.now())
		})
		w.run(1200 * time.Millisecond)
	}
	fail(owner)
	fail(owner)
	know := func(state breaker.State, failures uint64) {
		t.Helper()
		for _, p := range w.living() {
			if s, known := p.router.Status(key, p.now()); !known || s.State != state || s.Counts.Failures != failures {
				t.Errorf("%s: known %v, %v with the counts %+v, want %v and %d failures", p.member.ID, known, s.State, s.Counts, state, failures)
			}
		}
	}
	know(breaker.Closed, 2)
	owner.do(func() { owner.router.Leave(owner.now()) })
	w.run(time.Second)
	owner.kill()
	w.run(3 * time.Second)
	know(breaker.Closed, 2)
	fail(w.living()[0])
	know(breaker.Open, 3)
}

// TestReplicasTellWhatIsSampled shows that a replica knows the breakers that the proxies of others may sample, and that it does not
// know them before all others have told theirs.
func TestReplicasTellWhatIsSampled(t *testing.T) {
	w := newWorld(1, specs(2))
	w.fail = t.Fatalf
	for range 3 {
		w.start()
	}
	w.run(10 * time.Second)
	first, second := w.specs[0].Key, w.specs[1].Key
	a, b, c := w.living()[0], w.living()[1], w.living()[2]
	tell := func(p *replica, keys ...breaker.Key) {
		p.do(func() { p.router.Sampled(keys) })
		w.run(500 * time.Millisecond)
	}
	want := func(x, y bool) {
		t.Helper()
		if f := a.router.SampledElsewhere(a.now()); f(first) != x || f(second) != y {
			t.Errorf("sampled elsewhere: %v and %v, want %v and %v", f(first), f(second), x, y)
		}
	}
	want(true, true)
	tell(b)
	want(true, true)
	tell(c, second)
	want(false, true)
	tell(b, first)
	want(true, true)
	w.run(5 * time.Second)
	want(true, true)
	c.kill()
	w.run(30 * time.Second)
	tell(b)
	want(false, false)
}
