package driver

import (
	"context"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/lockorder"
)

// Observer is a part of the program that gets every transition.
type Observer struct {
	Name string
	// Reason says why the observer has its place in the order.
	Reason string
	// Observe gets the transitions one at a time, and each breaker's in the order of [breaker.Transition.Sequence].
	// It must not call [Driver.Deliver], and should leave slow work to another goroutine: the observers after it wait.
	Observe func(breaker.Transition)
}

// Driver is an engine with its clock. Make it with [New].
type Driver struct {
	Engine *breaker.Engine
	Clock  Clock

	observers  []Observer
	delivering lockorder.Mutex[lockorder.DriverDelivery] // held while observers are called
	wake       chan struct{}                             // has room for one

	mu      lockorder.Mutex[lockorder.DriverLeaf] // guards pending
	pending []breaker.Transition                  // not delivered yet, in order
}

// New returns a driver of an engine without breakers. Its transitions wait for [Driver.Run] or [Driver.Deliver].
func New() *Driver {
	d := &Driver{Clock: NewClock(), wake: make(chan struct{}, 1)}
	d.Engine = breaker.NewEngine(breaker.Options{Listen: d.push, Wake: d.wakeUp, Now: d.Clock.Now})
	return d
}

// Observe sets the observers, in the order in which they get a transition. Call it before the engine has breakers.
// Without observers, transitions are dropped.
func (d *Driver) Observe(observers []Observer) { d.observers = observers }

// wakeUp makes Run advance the engine.
func (d *Driver) wakeUp() {
	select {
	case d.wake <- struct{}{}:
	default: // Run is about to wake already
	}
}

// push is the engine's listener. It has Run deliver the transition.
func (d *Driver) push(t breaker.Transition) {
	if len(d.observers) == 0 {
		return
	}
	d.mu.Lock()
	d.pending = append(d.pending, t)
	d.mu.Unlock()
	d.wakeUp()
}

// Run delivers transitions and advances the engine until ctx ends. It then delivers the remaining transitions.
func (d *Driver) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			d.Deliver()
			return
		case <-d.wake:
		case <-timer.C:
		}
		next, due := d.Engine.Advance(d.Clock.Now())
		d.Deliver()
		if due {
			timer.Reset(max(next.Sub(d.Clock.Now()), 0))
		} else {
			timer.Stop()
		}
	}
}

// Deliver passes all transitions so far to the observers, and returns when they have them. It is for callers that need
// the effects of a transition before they go on, such as a change by hand whose response shows them.
func (d *Driver) Deliver() {
	d.Engine.Flush() // in a flood, the engine keeps some to itself
	d.delivering.Lock()
	defer d.delivering.Unlock()
	d.mu.Lock()
	batch := d.pending
	d.pending = nil
	d.mu.Unlock()
	for _, t := range batch {
		for i := range d.observers {
			d.observers[i].Observe(t)
		}
	}
}
