package publisher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"breakwater.dev/breaker"
	"breakwater.dev/gate"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	web = breaker.Key{Upstream: "web"}
	db  = breaker.Key{Upstream: "db"}
)

// set returns a policy with these upstreams, whose breakers trip at the first failure. The upstream "db" speaks TCP, and
// only the workload "shop" may call it.
func set(upstreams ...string) *policy.Set {
	s := &policy.Set{}
	for _, name := range upstreams {
		c := breaker.DefaultConfig()
		c.ConsecutiveFailures, c.PermittedNumberOfCallsInHalfOpenState, c.SuccessThreshold = 1, 2, 3
		u := &policy.Upstream{Name: name, Protocol: policy.HTTP1, Routes: []policy.Route{{Breaker: &policy.Breaker{
			Spec: breaker.Spec{Key: breaker.Key{Upstream: name}, Config: c, Lease: time.Minute}, DataPath: policy.Adaptive, Classify: &policy.Classifier{},
		}}}}
		if name == "db" {
			u.Protocol, u.Callers = policy.TCP, []string{"shop"}
		}
		s.Upstreams = append(s.Upstreams, u)
	}
	return s
}

// clock is the clock of a bubble of testing/synctest.
type clock struct{ start time.Time }

func (c clock) Now() breaker.Instant             { return breaker.Instant(time.Since(c.start)) }
func (c clock) Wall(i breaker.Instant) time.Time { return c.start.Add(time.Duration(i)) }

// mesh is a publisher with its surroundings.
type mesh struct {
	clock
	*Publisher
	engine *breaker.Engine
	stop   func() // ends Run

	mu         sync.Mutex // guards the fields below
	sampling   map[breaker.Key]wire.Sampling
	rate       float64
	links      map[string]gate.Links // by upstream and node
	connected  []gate.Node
	broken     error  // returned by PublishGates
	publishing func() // called by PublishGates, without the lock
	published  []*gate.Set
	decided    []time.Time
}

func newMesh(t *testing.T) *mesh {
	m := &mesh{clock: clock{time.Now()}, links: map[string]gate.Links{}, publishing: func() {}}
	m.engine = breaker.NewEngine(breaker.Options{Listen: func(tr breaker.Transition) { m.Publisher.Observe(tr) }})
	m.Publisher = New(Options{Breakers: m.engine.Decider(), Feed: m, Proxies: m, Clock: m.clock, Log: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { m.Run(ctx) })
	m.stop = func() {
		stop()
		running.Wait()
	}
	t.Cleanup(m.stop)
	return m
}

func (m *mesh) Sample(breaker.Instant) map[breaker.Key]wire.Sampling {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sampling
}

func (m *mesh) Rate(breaker.Key) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rate
}

func (m *mesh) Links(upstream, node string) gate.Links {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.links[upstream+" "+node]
}

func (m *mesh) Connected() []gate.Node {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.connected
}

func (m *mesh) PublishGates(set *gate.Set, decided time.Time) error {
	m.mu.Lock()
	publishing := m.publishing
	m.mu.Unlock()
	publishing()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return m.broken
	}
	m.published, m.decided = append(m.published, set), append(m.decided, decided)
	return nil
}

// change calls do, which changes the surroundings of the publisher, under their lock.
func (m *mesh) change(do func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	do()
}

func (m *mesh) apply(set *policy.Set) {
	m.engine.Apply(set.Specs(), m.clock.Now())
	m.Publisher.Apply(set)
}

// last returns the gates that were published last, and the time of their transition.
func (m *mesh) last() (*gate.Set, time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.published[len(m.published)-1], m.decided[len(m.decided)-1]
}

func (m *mesh) fail(key breaker.Key) {
	now := m.clock.Now()
	m.engine.Report(key, []breaker.Reported{{Outcome: breaker.Failure, At: now, Probe: true}}, now)
}

// want checks the gates that were published last, when all goroutines are idle.
func (m *mesh) want(t *testing.T, when string, want ...gate.Gate) {
	t.Helper()
	synctest.Wait()
	got, _ := m.last()
	if diff := cmp.Diff(want, got.Gates()); diff != "" {
		t.Errorf("%s: gates (-want +got):\n%s", when, diff)
	}
}

// TestTransitionsArePublished at once, with the time of the first transition and the rate before the trip. Gates also
// change without a transition, when their time is over.
func TestTransitionsArePublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		m.apply(set("web"))
		m.want(t, "closed")
		time.Sleep(500 * time.Millisecond)
		m.change(func() { m.rate = 100 })
		m.fail(web)
		m.want(t, "open", gate.Gate{Key: web, Open: wire.Million})
		got, decided := m.last()
		if !decided.Equal(m.start.Add(500 * time.Millisecond)) {
			t.Errorf("decided after %s, want 500ms", decided.Sub(m.start))
		}
		if f := got.Filter(); f != gate.FilterFor(set("web")) || f == (gate.LogFilter{}) {
			t.Errorf("the filter of the logs is %+v, want the policy's", f)
		}
		if c := m.Counts(); c != (Counts{Open: 1}) {
			t.Errorf("counts %+v, want one open", c)
		}
		time.Sleep(30 * time.Second)
		m.engine.Advance(m.clock.Now())
		m.want(t, "half-open", gate.Gate{Key: web, Open: wire.Million / 2, Probe: true})
		time.Sleep(time.Second)
		m.want(t, "a second later", gate.Gate{Key: web, Probe: true})
		if _, decided := m.last(); !decided.IsZero() {
			t.Errorf("decided at %s, want no time, since there was no transition", decided)
		}
	})
}

// TestApplyReturnsWhenGatesArePublished shows that breakers that were open before have their gates by then, and that
// breakers that the policy no longer has have none.
func TestApplyReturnsWhenGatesArePublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		m.engine.Apply(set("web").Specs(), m.clock.Now())
		m.fail(web)
		synctest.Wait() // the publisher has no policy yet, and lets the transition go
		m.Publisher.Apply(set("web"))
		if got, _ := m.last(); len(got.Gates()) != 1 {
			t.Errorf("%d gates when the policy is applied, want 1", len(got.Gates()))
		}
		m.apply(set("db"))
		if got, _ := m.last(); len(got.Gates()) != 0 {
			t.Errorf("%d gates of a breaker that the policy no longer has, want none", len(got.Gates()))
		}
	})
}

// TestATripBesideAReload: a breaker that trips just before its policy is applied keeps the rate that it had.
func TestATripBesideAReload(t *testing.T) {
	for range 20 { // the publisher may see either first
		synctest.Test(t, func(t *testing.T) {
			m := newMesh(t)
			m.apply(set("web", "other"))
			m.change(func() { m.publishing, m.rate = func() { time.Sleep(10 * time.Millisecond) }, 5_000 })
			m.fail(breaker.Key{Upstream: "other"})
			time.Sleep(time.Millisecond) // it is being published
			m.engine.Report(web, []breaker.Reported{{Outcome: breaker.Failure, At: m.clock.Now()}}, m.clock.Now())
			m.apply(set("web", "new"))
			m.change(func() { m.publishing, m.rate = func() {}, 1 })
			time.Sleep(30 * time.Second)
			m.engine.Advance(m.clock.Now())
			m.want(t, "half-open", gate.Gate{Key: web, Open: 990_000, Probe: true})
		})
	}
}

// TestApplyAfterTheEnd does not wait for a goroutine that has ended.
func TestApplyAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		m.stop()
		m.Publisher.Apply(set("web"))
	})
}

// TestChangesShareAPublication: the first change never waits, and those that follow within a pause are published together when it
// ends. Transitions, and breakers whose calls must all be logged, have one pause.
func TestChangesShareAPublication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		all := []string{"a", "b", "c", "d", "e", "f"}
		m.apply(set(all...))
		sampled := map[breaker.Key]wire.Sampling{}
		for _, name := range all {
			sampled[breaker.Key{Upstream: name}] = wire.Sampling{Passed: 8}
		}
		m.change(func() { m.sampling = sampled })
		time.Sleep(samplingPeriod + Pause)
		synctest.Wait()
		published := func(when string, open, exact int) {
			t.Helper()
			synctest.Wait()
			gates, _ := m.last()
			gotOpen, gotExact := 0, 0
			for _, g := range gates.Gates() {
				if g.Open > 0 {
					gotOpen++
				}
				if g.Sampling.Exact {
					gotExact++
				}
			}
			if gotOpen != open || gotExact != exact {
				t.Errorf("%s: %d open and %d exact, want %d and %d", when, gotOpen, gotExact, open, exact)
			}
		}
		before := len(m.published)
		m.fail(breaker.Key{Upstream: "a"})
		published("the first", 1, 0)
		m.LogAll(breaker.Key{Upstream: "b"})
		time.Sleep(Pause / 2)
		m.fail(breaker.Key{Upstream: "c"})
		decided := m.clock.Wall(m.clock.Now())
		time.Sleep(Pause/2 - 1)
		m.fail(breaker.Key{Upstream: "d"})
		published("in the pause", 1, 0)
		time.Sleep(time.Nanosecond)
		published("after the pause", 3, 1)
		if _, got := m.last(); !got.Equal(decided) {
			t.Errorf("they were decided at %s, want %s, when the first of them was", got, decided)
		}
		m.fail(breaker.Key{Upstream: "e"})
		published("in the next pause", 3, 1)
		time.Sleep(Pause)
		published("after the next pause", 4, 1)
		time.Sleep(Pause)
		m.LogAll(breaker.Key{Upstream: "f"})
		published("the first after a pause without changes", 4, 2)
		if got := len(m.published) - before; got != 4 {
			t.Errorf("published %d times, want 4", got)
		}
	})
}

// TestAPolicyWaitsForNoPause, since a reload waits for its gates, and its changes end no pause.
func TestAPolicyWaitsForNoPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		m.apply(set("web", "db"))
		time.Sleep(Pause)
		m.fail(web)
		synctest.Wait()
		before := time.Now()
		m.apply(set("web"))
		if waited := time.Since(before); waited > 0 {
			t.Errorf("it waited for %s", waited)
		}
	})
}

// TestSamplingIsPublished once a second, if it has changed.
func TestSamplingIsPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		m.apply(set("web"))
		sampling := wire.Sampling{Passed: 8, Rejected: 1}
		m.change(func() { m.sampling = map[breaker.Key]wire.Sampling{web: sampling, {Upstream: "gone"}: {Passed: 2}} })
		time.Sleep(time.Second)
		m.want(t, "busy", gate.Gate{Key: web, Sampling: sampling})
		before := len(m.published)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := len(m.published); got != before {
			t.Errorf("published %d times while nothing changed", got-before)
		}
	})
}

// TestAllCallsAreLoggedAtOnce: the feed does not wait for the next sampling, which says when that ends.
func TestAllCallsAreLoggedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		m.apply(set("web"))
		sampling := wire.Sampling{Passed: 8, Rejected: 1}
		exact := sampling
		exact.Exact = true
		sample := func(s wire.Sampling) { m.change(func() { m.sampling = map[breaker.Key]wire.Sampling{web: s} }) }
		sample(sampling)
		time.Sleep(time.Second)
		m.want(t, "busy", gate.Gate{Key: web, Sampling: sampling})
		sample(exact)
		time.Sleep(Pause)
		m.LogAll(web)
		m.LogAll(breaker.Key{Upstream: "gone"})
		m.want(t, "without a pause", gate.Gate{Key: web, Sampling: exact})
		time.Sleep(time.Second)
		m.want(t, "a second later", gate.Gate{Key: web, Sampling: exact})
		sample(sampling)
		time.Sleep(time.Second)
		m.want(t, "calm again", gate.Gate{Key: web, Sampling: sampling})
	})
}

// TestRefusedGatesAreTriedAgain with the next change, and the time of the first decision.
func TestRefusedGatesAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		m.apply(set("web", "db"))
		time.Sleep(Pause)
		m.change(func() { m.broken = errors.New("no") })
		m.fail(web)
		synctest.Wait()
		m.change(func() { m.broken = nil })
		time.Sleep(Pause)
		m.fail(db)
		none := uint32(0)
		m.want(t, "both", gate.Gate{Key: db, Connections: &none}, gate.Gate{Key: web, Open: wire.Million})
		if _, decided := m.last(); !decided.Equal(m.start.Add(Pause)) {
			t.Errorf("decided after %s, want when it could not be published", decided.Sub(m.start))
		}
	})
}

// TestEstablishedConnectionsCloseABreaker, because a client with a pool makes no new connections.
func TestEstablishedConnectionsCloseABreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		m.change(func() { m.connected = []gate.Node{{ID: "one", Workload: "shop"}} })
		m.apply(set("db"))
		m.fail(db)
		time.Sleep(30 * time.Second)
		m.engine.Advance(m.clock.Now())
		m.change(func() { m.links["db one"] = gate.Links{Connections: 2} })
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if s, _ := m.engine.Status(db, m.clock.Now()); s.State != breaker.Closed {
			t.Errorf("the breaker is %s, want closed", s.State)
		}
	})
}

// TestProxies shows that an upstream's proxies are the connected ones that list it, even those that may not call it, and
// those that have left while their gates are in force.
func TestProxies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		m.apply(set("db"))
		m.change(func() {
			m.connected = []gate.Node{
				{ID: "a", Workload: "shop"}, {ID: "b", Workload: "shop", Upstreams: []string{"db", "x"}},
				{ID: "c", Workload: "shop", Upstreams: []string{"x"}}, {ID: "d", Workload: "thief", Upstreams: []string{"db"}},
			}
			m.links["db a"] = gate.Links{Connections: 7}
		})
		gates := gate.Uniform(gate.NewSet(nil, gate.LogFilter{}))
		m.Applied("e", gates, m.clock.Now())
		m.Applied("e", nil, m.clock.Now().Add(time.Second))
		m.Applied("f", gates, m.clock.Now())
		other := gate.Uniform(gates[0])
		other[wire.RuntimePartOf(db)] = nil
		m.Applied("g", gates, m.clock.Now()) // it has dropped the part of the layer that has the breaker
		m.Applied("g", other, m.clock.Now().Add(time.Second/4))
		m.Applied("g", nil, m.clock.Now().Add(time.Second))
		time.Sleep(time.Second / 2)
		var got []string
		for _, p := range m.proxies([]string{"db"}, m.clock.Now())["db"] {
			got = append(got, fmt.Sprintf("%s left=%t barred=%t connections=%d gates=%t", p.Node, p.Left, p.Barred, p.Connections, p.Gates == gates))
		}
		want := []string{
			"a left=false barred=false connections=7 gates=false", "b left=false barred=false connections=0 gates=false",
			"d left=false barred=true connections=0 gates=false", "e left=true barred=false connections=0 gates=true",
		}
		if !slices.Equal(got, want) {
			t.Errorf("the proxies are %q, want %q", got, want)
		}
	})
}

// TestProxiesThatLeftAreForgotten, even if no upstream speaks TCP.
func TestProxiesThatLeftAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		m.change(func() { m.connected = []gate.Node{{ID: "stays"}} })
		m.Applied("stays", nil, m.clock.Now())
		for i := range 100 {
			m.Applied(fmt.Sprint("leaves-", i), nil, m.clock.Now())
		}
		kept := func(want int) {
			t.Helper()
			synctest.Wait()
			m.applied.mu.Lock()
			defer m.applied.mu.Unlock()
			if got := len(m.applied.nodes); got != want {
				t.Fatalf("%d proxies are remembered, want %d", got, want)
			}
		}
		kept(101)
		time.Sleep(forgettingPeriod)
		kept(1)
	})
}

// TestAProxyThatConnectsIsNotForgotten, even if it does so just after the connected ones were listed.
func TestAProxyThatConnectsIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		time.Sleep(time.Second)
		m.Applied("older", nil, m.clock.Now())
		time.Sleep(time.Second)
		listed := m.clock.Now()
		m.Applied("came", nil, m.clock.Now())
		m.Applied("took", gate.Uniform(gate.NewSet(nil, gate.LogFilter{})), m.clock.Now())
		m.applied.forget(map[string]bool{}, listed)
		for node, want := range map[string]bool{"older": false, "came": true, "took": true} {
			if _, got := m.applied.nodes[node]; got != want {
				t.Errorf("%s is remembered: %t, want %t", node, got, want)
			}
		}
	})
}

// TestCount has a gate of each kind.
func TestCount(t *testing.T) {
	none := uint32(0)
	got := count([]gate.Gate{
		{Open: wire.Million}, {Open: wire.Million}, {Open: 990_000, Probe: true}, {Probe: true}, {Probe: true},
		{Open: 1}, {Connections: &none, Probe: true}, {}, {Sampling: wire.Sampling{Passed: 2}},
	})
	if want := (Counts{Open: 2, Probing: 3, Ramping: 1, Connections: 1}); *got != want {
		t.Errorf("counts %+v, want %+v", *got, want)
	}
}

// BenchmarkProxies finds the proxies of 10 upstreams among 1,000 proxies that list 500 upstreams each. The publisher does
// this twice a second while the breakers of these upstreams are half-open.
func BenchmarkProxies(b *testing.B) {
	m := &mesh{clock: clock{time.Now()}, links: map[string]gate.Links{}}
	m.Publisher = New(Options{Breakers: breaker.NewEngine(breaker.Options{}).Decider(), Feed: m, Proxies: m, Clock: m.clock, Log: slog.New(slog.DiscardHandler)})
	var listed, wanted []string
	for i := range 500 {
		listed = append(listed, fmt.Sprintf("upstream-%03d", i))
	}
	for i := range 1000 {
		m.connected = append(m.connected, gate.Node{ID: fmt.Sprint("shop-", i), Workload: "shop", Upstreams: listed})
	}
	wanted = listed[:10]
	for b.Loop() {
		for name, reach := range m.proxies(wanted, 0) {
			if len(reach) != 1000 {
				b.Fatalf("%d proxies reach %s, want 1000", len(reach), name)
			}
		}
	}
}
