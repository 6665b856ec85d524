package breaker

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// crowd is many goroutines on one breaker. Every reading of its clock is later
// than the one before, by a nanosecond.
type crowd struct {
	engine   *Engine
	clock    atomic.Int64
	permits  int64
	inFlight sync.Map // of *atomic.Int64: probes by generation
	most     atomic.Int64
	tooMany  atomic.Int64

	heard     []Transition // by the listener, which is never called twice at once
	listening atomic.Bool
	twice     atomic.Bool
}

func newCrowd(cfg Config) *crowd {
	c := &crowd{permits: int64(cfg.PermittedNumberOfCallsInHalfOpenState)}
	c.engine = NewEngine(Options{Listen: c.listen})
	c.engine.Apply([]Spec{{Key: keyA, Config: cfg, Lease: time.Hour}}, c.now())
	return c
}

func (c *crowd) now() Instant { return Instant(c.clock.Add(1)) }

func (c *crowd) listen(tr Transition) {
	if !c.listening.CompareAndSwap(false, true) {
		c.twice.Store(true)
	}
	c.heard = append(c.heard, tr)
	c.engine.Breaker(tr.Key).Status(c.now())
	c.listening.Store(false)
}

// call makes one call. Probes are counted from after they were admitted to before
// they are resolved, so never more of them than the breaker has out.
func (c *crowd) call(o Outcome) {
	p, d := c.engine.Acquire(keyA, c.now())
	if !d.Admitted {
		c.clock.Add(int64(10 * time.Microsecond)) // time goes by while the breaker is open
		return
	}
	if d.State != HalfOpen {
		p.Done(o, c.now())
		return
	}
	v, _ := c.inFlight.LoadOrStore(p.mark>>tagShift, new(atomic.Int64))
	probes := v.(*atomic.Int64)
	n := probes.Add(1)
	if n > c.permits {
		c.tooMany.Add(1)
	}
	for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
	}
	c.now() // let the others come
	probes.Add(-1)
	p.Done(o, c.now())
}

// TestConcurrentCallers: with many goroutines that call, read, advance and reload,
// probes stay within their number, nothing is lost, and every transition is heard
// of once, in order.
func TestConcurrentCallers(t *testing.T) {
	cfg := DefaultConfig()
	cfg.WaitDurationInOpenState = time.Millisecond
	c := newCrowd(cfg)
	var callers, readers sync.WaitGroup
	for seed := range uint64(8) {
		callers.Go(func() {
			random := rand.New(rand.NewPCG(seed, 1))
			for range 5_000 {
				c.call([]Outcome{Success, Success, Success, Failure, Timeout, Ignored}[random.IntN(6)])
			}
		})
	}
	var over atomic.Bool
	for _, read := range []func(){
		func() { c.engine.Snapshot(c.now()) },
		func() { c.engine.Advance(c.now()) },
		func() { c.engine.Apply([]Spec{{Key: keyA, Config: cfg, Lease: time.Hour}}, c.now()) },
	} {
		readers.Go(func() {
			for !over.Load() {
				read()
			}
		})
	}
	callers.Wait()
	over.Store(true)
	readers.Wait()

	if n := c.tooMany.Load(); n > 0 || c.most.Load() == 0 {
		t.Errorf("%d times more than %d probes were in flight, %d at most; want never, and some", n, c.permits, c.most.Load())
	}
	counts := c.engine.Breaker(keyA).Status(c.now()).Counts
	if counts.Requests != 40_000 || counts.Requests != counts.Rejected+counts.Successes+counts.Failures+counts.Ignored {
		t.Errorf("counts %+v do not add up to 40,000", counts)
	}
	if c.twice.Load() {
		t.Error("the listener was called twice at once")
	}
	checkSequence(t, c.heard)
	seen := map[Edge]int{}
	for _, tr := range c.heard {
		seen[tr.Edge]++
	}
	for _, want := range []Edge{{Closed, Open, ConsecutiveFailures}, {Open, HalfOpen, WaitOver}, {HalfOpen, Open, ProbeFailed}, {HalfOpen, Closed, ProbesSucceeded}} {
		if seen[want] == 0 {
			t.Errorf("edge %v was never taken, so this test tested little", want)
		}
	}
}

// TestConcurrentReloads: handles of breakers that come, change and go stay usable.
func TestConcurrentReloads(t *testing.T) {
	var heard atomic.Int64
	e := NewEngine(Options{Listen: func(Transition) { heard.Add(1) }})
	var clock atomic.Int64
	now := func() Instant { return Instant(clock.Add(1)) }
	policies := [][]Spec{
		{spec("a", runRule(1)), spec("b", runRule(2))},
		{spec("b", runRule(3))},
		{spec("b", runRule(3)), spec("a", runRule(2))},
		nil,
	}
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 2_000 {
				e.Apply(policies[(g+i)%len(policies)], now())
				for _, key := range keys("a", "b", "c") {
					p, _ := e.Acquire(key, now())
					e.Advance(now())
					p.Done(Failure, now())
				}
			}
		})
	}
	within(t, all.Wait)
	e.Apply(policies[0], now())
	if got := e.Snapshot(now()); len(got) != 2 || got[0].Key.Upstream != "a" || *got[1].Config != runRule(2) {
		t.Errorf("after all reloads the engine has %+v", got)
	}
	if heard.Load() == 0 {
		t.Error("no breaker ever tripped, so this test tested little")
	}
}
