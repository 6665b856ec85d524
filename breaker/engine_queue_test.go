package breaker

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"
)

// within fails the test if f does not return, which means that a lock is held.
func within(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("deadlock")
	}
}

// TestRule6ListenerMayCallTheEngine: whatever causes the transition, no lock is held
// while it is delivered.
func TestRule6ListenerMayCallTheEngine(t *testing.T) {
	cfg := runRule(1)
	wait := cfg.WaitDurationInOpenState
	changed := runRule(2)
	for name, cause := range map[string]func(e *Engine, b *Breaker){
		"done": func(_ *Engine, b *Breaker) {
			p, _ := b.Acquire(epoch)
			p.Done(Failure, epoch)
		},
		"acquire":  func(_ *Engine, b *Breaker) { b.Acquire(epoch.Add(wait)) },
		"status":   func(_ *Engine, b *Breaker) { b.Status(epoch.Add(wait)) },
		"snapshot": func(e *Engine, _ *Breaker) { e.Snapshot(epoch.Add(wait)) },
		"advance":  func(e *Engine, _ *Breaker) { e.Advance(epoch.Add(wait)) },
		"apply":    func(e *Engine, _ *Breaker) { e.Apply([]Spec{spec("a", changed)}, epoch) },
	} {
		t.Run(name, func(t *testing.T) {
			heard := 0
			var e *Engine
			e = NewEngine(Options{Listen: func(tr Transition) {
				heard++
				b := e.Breaker(tr.Key)
				p, _ := b.Acquire(tr.At)
				p.Done(Ignored, tr.At)
				b.Status(tr.At)
				e.Snapshot(tr.At)
				e.Advance(tr.At)
				e.Apply([]Spec{spec("a", *b.Status(tr.At).Config)}, tr.At)
			}})
			within(t, func() {
				e.Apply([]Spec{spec("a", cfg)}, epoch)
				b := e.Breaker(keyA)
				if name != "done" {
					p, _ := b.Acquire(epoch)
					p.Done(Failure, epoch)
				}
				before := heard
				cause(e, b)
				if heard != before+1 {
					t.Errorf("heard of %d transitions, want 1", heard-before)
				}
			})
		})
	}
}

// TestRule6ListenerMayAskForBreakersOfProxies: the same where each proxy has a breaker of its own.
func TestRule6ListenerMayAskForBreakersOfProxies(t *testing.T) {
	cfg := runRule(1)
	wait := cfg.WaitDurationInOpenState
	one := Key{Upstream: keyA.Upstream, Node: "one"}
	perNode := func(c Config) []Spec { return []Spec{{Key: keyA, Config: c, Lease: time.Second, PerNode: true}} }
	failure := []Reported{{Outcome: Failure, At: epoch}}
	for name, cause := range map[string]func(e *Engine){
		"report":   func(e *Engine) { e.Report(Key{Upstream: keyA.Upstream, Node: "two"}, failure, epoch) },
		"acquire":  func(e *Engine) { e.Node(keyA, "one", epoch).Acquire(epoch.Add(wait)) },
		"status":   func(e *Engine) { e.Status(one, epoch.Add(wait)) },
		"snapshot": func(e *Engine) { e.Snapshot(epoch.Add(wait)) },
		"export":   func(e *Engine) { e.Export(epoch.Add(wait)) },
		"advance":  func(e *Engine) { e.Advance(epoch.Add(wait)) },
		"force": func(e *Engine) {
			_ = e.Force(one, Override{State: Closed, By: "operator", Note: "reason", Until: epoch.Add(time.Hour)}, epoch)
		},
		"reset": func(e *Engine) { _ = e.Reset(one, "operator", "reason", epoch) },
		"apply": func(e *Engine) { e.Apply(perNode(runRule(2)), epoch) },
	} {
		t.Run(name, func(t *testing.T) {
			heard := 0
			var e *Engine
			e = NewEngine(Options{Listen: func(tr Transition) {
				heard++
				e.Node(keyA, fmt.Sprint("new-", heard), tr.At) // takes the lock of all proxies' breakers
				e.Snapshot(tr.At)
				e.Export(tr.At)
			}})
			within(t, func() {
				e.Apply(perNode(cfg), epoch)
				e.Node(keyA, "one", epoch).Report(failure, epoch)
				before := heard
				cause(e)
				if heard <= before {
					t.Error("no transition was heard")
				}
			})
		})
	}
}

// TestRule6TransitionsOfAListenerComeAfterItsOwn: transitions that a listener causes are
// delivered when it has returned, in order and without gaps.
func TestRule6TransitionsOfAListenerComeAfterItsOwn(t *testing.T) {
	cfg := runRule(1)
	cfg.SuccessThreshold = 1
	var heard []Transition
	var e *Engine
	running := false
	e = NewEngine(Options{Listen: func(tr Transition) {
		if running {
			t.Error("a listener was called while it was running")
		}
		running = true
		defer func() { running = false }()
		heard = append(heard, tr)
		if len(heard) > 100 {
			return
		}
		// It ends every state at once: closed by a failure, open by time, half-open by a success.
		at := tr.At.Add(cfg.WaitDurationInOpenState)
		p, d := e.Acquire(tr.Key, at)
		if d.State == HalfOpen {
			p.Done(Success, at)
			return
		}
		p.Done(Failure, at)
	}})
	within(t, func() {
		e.Apply([]Spec{spec("a", cfg)}, epoch)
		p, _ := e.Acquire(keyA, epoch)
		p.Done(Failure, epoch)
	})
	if len(heard) < 100 {
		t.Fatalf("heard of %d transitions, want 100 at least", len(heard))
	}
	checkSequence(t, heard)
}

// checkSequence fails unless the transitions of one breaker are complete and in order.
func checkSequence(t *testing.T, all []Transition) {
	t.Helper()
	for i, tr := range all {
		if tr.Sequence != uint64(i+1) {
			t.Fatalf("transition %d has sequence %d", i+1, tr.Sequence)
		}
		if i == 0 {
			continue
		}
		last := all[i-1]
		if tr.Edge.From != last.Edge.To || tr.Since != last.At || tr.Generation != last.Generation+1 {
			t.Fatalf("transition %+v does not follow %+v", tr, last)
		}
	}
}

// TestRule6TransitionsOfSeveralBreakersKeepTheirOrder: a scrape that moves many
// delivers all of them, in the order in which they happened.
func TestRule6TransitionsOfSeveralBreakersKeepTheirOrder(t *testing.T) {
	var heard []Key
	e := NewEngine(Options{Listen: func(tr Transition) { heard = append(heard, tr.Key) }})
	names := []string{"c", "a", "b"}
	var specs []Spec
	for _, name := range names {
		specs = append(specs, spec(name, runRule(1)))
	}
	e.Apply(specs, epoch)
	for _, s := range specs {
		p, _ := e.Acquire(s.Key, epoch)
		p.Done(Failure, epoch)
	}
	heard = nil
	e.Snapshot(epoch.Add(time.Hour))
	if len(heard) != len(names) {
		t.Fatalf("heard %v, want one each of %v", heard, names)
	}
	for i, name := range names {
		if heard[i].Upstream != name {
			t.Errorf("transition %d is of %s, want %s", i, heard[i], name)
		}
	}
}

// TestWakeWhenItIsDueEarlier: Wake is called when a breaker is due earlier than Advance
// said, and not when one is due later.
func TestWakeWhenItIsDueEarlier(t *testing.T) {
	woken := 0
	e := NewEngine(Options{Wake: func() { woken++ }})
	cfg := slowRule(time.Hour)
	cfg.ConsecutiveFailures = 1
	e.Apply([]Spec{spec("a", cfg)}, epoch)
	p, _ := e.Acquire(keyA, epoch)
	if woken != 1 {
		t.Errorf("woken %d times by a call that may become slow, want once", woken)
	}
	if next, ok := e.Advance(epoch); !ok || next < epoch.Add(time.Hour) {
		t.Errorf("the next change is due at %d, %t; want more than an hour later", next, ok)
	}
	p.Done(Failure, epoch)
	if woken != 2 {
		t.Errorf("woken %d times when a wait of 30s began, want once more", woken)
	}
	next, _ := e.Advance(epoch)
	if next != epoch.Add(30*time.Second) {
		t.Errorf("the next change is due at %d, want the end of the wait", next)
	}
	p, _ = e.Acquire(keyA, next) // half-open, for a minute
	p.Done(Ignored, next)
	if woken != 2 {
		t.Errorf("woken %d times, want no more: nothing is due earlier", woken)
	}
}

// TestRule6FloodIsHandedOn: a call that finds transitions without end, here because their
// listener causes them, returns to its own work after some.
func TestRule6FloodIsHandedOn(t *testing.T) {
	heard, woken := 0, 0
	var e *Engine
	e = NewEngine(Options{
		Wake: func() { woken++ },
		Listen: func(tr Transition) {
			heard++
			if tr.Sequence != uint64(heard) {
				t.Errorf("transition %d has sequence %d", heard, tr.Sequence)
			}
			if err := e.Reset(keyA, "me", "why", tr.At); err != nil {
				t.Error(err)
			}
		},
	})
	e.Apply([]Spec{spec("a", runRule(1))}, epoch)
	p, _ := e.Acquire(keyA, epoch)
	within(t, func() { p.Done(Failure, epoch) })
	if heard == 0 || heard > 2*handOn || woken == 0 {
		t.Errorf("a call delivered %d transitions and woke %d times, want %d at most, and that it hands on the rest", heard, woken, 2*handOn)
	}
	before := heard
	within(t, func() { e.Advance(epoch) })
	if heard == before {
		t.Error("Advance delivers nothing of what was left")
	}
}

// TestWakeIsForEarlierChangesOnly: thousands of breakers that begin to wait do not make
// Advance look at all of them each time.
func TestWakeIsForEarlierChangesOnly(t *testing.T) {
	woken := 0
	e := NewEngine(Options{Wake: func() { woken++ }})
	const n = 1_000
	specs := make([]Spec, n)
	for i := range specs {
		specs[i] = spec(strconv.Itoa(i), slowRule(time.Second))
	}
	e.Apply(specs, epoch)
	now, due := epoch, epoch
	for _, s := range specs {
		now = now.Add(time.Millisecond)
		e.Acquire(s.Key, now)
		if woken > 0 && due == epoch {
			due, _ = e.Advance(now)
		}
	}
	if woken != 1 {
		t.Errorf("woken %d times by calls of %d breakers, want once: none is due before %d", woken, n, due)
	}
}

// TestFlushLeavesNothingToOthers: a transition that comes while Flush delivers is left to it, so it delivers that too.
func TestFlushLeavesNothingToOthers(t *testing.T) {
	var e *Engine
	late := Key{Upstream: "late"}
	heard := map[Key]int{}
	var once sync.Once
	flushing := false
	e = NewEngine(Options{Wake: func() {}, Listen: func(tr Transition) {
		heard[tr.Key]++
		if flushing {
			once.Do(func() {
				done := make(chan error)
				go func() { done <- e.Reset(late, "alice", "why", epoch) }()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		}
	}})
	cfg := runRule(1)
	cfg.Mode = ForcedOpen
	specs := []Spec{{Key: late, Config: runRule(1), Lease: time.Second}}
	for i := range 2 * handOn {
		specs = append(specs, Spec{Key: Key{Upstream: fmt.Sprint("u", i)}, Config: cfg, Lease: time.Second})
	}
	e.Apply(specs, epoch)
	if len(heard) != handOn {
		t.Fatalf("%d transitions were delivered at once, want %d", len(heard), handOn)
	}
	flushing = true
	e.Flush()
	if len(heard) != 2*handOn+1 {
		t.Errorf("%d breakers were heard of, want all %d", len(heard), 2*handOn+1)
	}
}
