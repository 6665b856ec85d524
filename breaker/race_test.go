package breaker

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// crowd is many goroutines on one breaker. Each reading of its clock is a nanosecond later
// than the one before.
type crowd struct {
	engine   *Engine
	clock    atomic.Int64
	permits  int64
	inFlight sync.Map // of *atomic.Int64: probes by generation
	most     atomic.Int64
	tooMany  atomic.Int64

	heard     []Transition // noted by the listener, which is never called twice at once
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

// call makes one call. A probe is counted after it was admitted, and until before it is
// resolved, so there are never more than the breaker has in flight.
func (c *crowd) call(o Outcome) {
	b := c.engine.Breaker(keyA)
	c.make(b.Acquire, func(p *Permit) { p.Done(o, c.now()) })
}

// upload makes one call whose request has not ended, and resolves it in one of the possible ways.
func (c *crowd) upload(o Outcome, how int) {
	b := c.engine.Breaker(keyA)
	c.make(b.AcquireUploading, func(p *Permit) {
		switch how {
		case 0:
			p.Answered(c.now())
			p.Settle(Ignored, 0, c.now())
			b.Report([]Reported{{Outcome: o, At: c.now(), Corrects: true, Was: Ignored, Probe: true}}, c.now())
		case 1:
			now := c.now()
			p.Settle(Success, 0, now)
			b.Report([]Reported{{Outcome: Failure, At: c.now(), Corrects: true, Probe: true, Settled: now}}, c.now())
		case 2:
			b.uploading(p.Probe(), c.now())
			fallthrough
		default:
			p.Settle(o, 150*time.Microsecond, c.now())
		}
	})
}

func (c *crowd) make(acquire func(Instant) (Permit, Decision), resolve func(*Permit)) {
	p, d := acquire(c.now())
	if !d.Admitted {
		c.clock.Add(int64(10 * time.Microsecond)) // time goes by while the breaker is open
		return
	}
	if d.State != HalfOpen {
		resolve(&p)
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
	c.now() // let the other goroutines run
	probes.Add(-1)
	resolve(&p)
}

// TestConcurrentCallers: with many goroutines that call, read, advance and reload, there are
// never too many probes, no call is lost, and every transition is delivered once and in order.
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

// TestConcurrentEverything: everything is done to a striped breaker at the same time. There
// are never too many probes, permits and outcomes add up, and no transition is skipped.
func TestConcurrentEverything(t *testing.T) {
	cfg := DefaultConfig()
	cfg.WaitDurationInOpenState, cfg.SlowCallDurationThreshold, cfg.RampDuration = time.Millisecond, 100*time.Microsecond, 50*time.Microsecond
	cfg.MinimumNumberOfCalls = 100
	c := newCrowd(cfg)
	b := c.engine.Breaker(keyA)
	b.collisions.Store(manyCollisions)
	if b.Status(c.now()); b.striped.Load() == nil {
		t.Fatal("the breaker is not striped")
	}
	const callers, calls, batches = 8, 5_000, 300
	var others, all sync.WaitGroup
	for seed := range uint64(callers) {
		all.Go(func() {
			random := rand.New(rand.NewPCG(seed, 2))
			for range calls {
				o := []Outcome{Success, Success, Success, Failure, Failure, Ignored, Abandoned}[random.IntN(7)]
				if random.IntN(4) > 0 {
					c.call(o)
				} else {
					c.upload(o, random.IntN(5))
				}
			}
		})
	}
	all.Go(func() {
		for range batches {
			now := c.now()
			c.engine.Report(keyA, []Reported{{Outcome: Failure, At: now}, {At: now - 1, OneIn: 7}, {Outcome: Ignored, At: now}}, now)
		}
	})
	other := cfg
	other.SuccessThreshold = 2
	for _, do := range []func(i int){
		func(i int) {
			now := c.now()
			o := Override{State: []State{Open, Closed}[i%2], By: "me", Note: "why", Until: now.Add(time.Duration(i%5+1) * time.Microsecond)}
			if err := c.engine.Force(keyA, o, now); err != nil {
				t.Error(err)
			}
		},
		func(int) {
			if err := c.engine.Reset(keyA, "me", "why", c.now()); err != nil {
				t.Error(err)
			}
		},
		func(int) { c.engine.Export(c.now()) },
		func(int) { c.engine.AppendSnapshot(nil, c.now()) },
		func(int) { c.engine.Advance(c.now()) },
		func(i int) {
			c.engine.Apply([]Spec{{Key: keyA, Config: []Config{cfg, cfg, cfg, other}[i%4], Lease: time.Hour}}, c.now())
		},
	} {
		others.Go(func() {
			for i := range 2_000 {
				do(i)
				c.clock.Add(int64(time.Microsecond))
			}
		})
	}
	within(t, func() { all.Wait(); others.Wait() })
	c.checkAll(t, callers*calls+9*batches)
}

// checkAll checks what must be true when all goroutines are done.
func (c *crowd) checkAll(t *testing.T, requests uint64) {
	t.Helper()
	if n := c.tooMany.Load(); n > 0 {
		t.Errorf("%d times more than %d probes were in flight, %d at most; want never", n, c.permits, c.most.Load())
	}
	s := c.engine.Breaker(keyA).Status(c.now())
	k := s.Counts
	if k.Requests != requests || k.Requests != k.Rejected+k.Successes+k.Failures+k.Ignored || s.InFlight != 0 || s.ProbesInFlight != 0 {
		t.Errorf("counts %+v with %d in flight do not add up to %d", k, s.InFlight, requests)
	}
	if c.twice.Load() {
		t.Error("the listener was called twice at once")
	}
	for i, tr := range c.heard {
		switch {
		case tr.Sequence != uint64(i+1):
			t.Fatalf("transition %d has sequence %d", i+1, tr.Sequence)
		case i > 0 && (tr.Edge.From != c.heard[i-1].Edge.To || tr.Generation <= c.heard[i-1].Generation):
			t.Fatalf("transition %+v does not follow %+v", tr, c.heard[i-1])
		}
	}
	seen := map[Reason]bool{}
	for _, tr := range c.heard {
		seen[tr.Edge.Reason] = true
	}
	for _, want := range []Reason{Forced, Reset} { // the rest is up to the scheduler; TestConcurrentCallers has it
		if !seen[want] {
			t.Errorf("no transition with reason %s, so this test tested little", want)
		}
	}
}

// TestConcurrentAdvanceForgetsNobody: breakers that begin to wait while Advance runs are
// looked at the next time.
func TestConcurrentAdvanceForgetsNobody(t *testing.T) {
	const n = 4_000
	var halfOpen atomic.Int64
	e := NewEngine(Options{Listen: func(tr Transition) {
		if tr.Edge.Reason == WaitOver {
			halfOpen.Add(1)
		}
	}})
	specs := make([]Spec, n)
	for i := range specs {
		specs[i] = spec(strconv.Itoa(i), runRule(1))
	}
	e.Apply(specs, epoch)
	var over atomic.Bool
	var advancing, tripping sync.WaitGroup
	advancing.Go(func() {
		for !over.Load() {
			e.Advance(epoch)
		}
	})
	for part := range 4 {
		tripping.Go(func() {
			for i := part; i < n; i += 4 {
				p, _ := e.Acquire(specs[i].Key, epoch)
				p.Done(Failure, epoch)
			}
		})
	}
	within(t, func() { tripping.Wait(); over.Store(true); advancing.Wait() })
	e.Advance(epoch.Add(time.Minute))
	if got := halfOpen.Load(); got != n {
		t.Errorf("%d of %d breakers are half-open when their wait is over", got, n)
	}
}
