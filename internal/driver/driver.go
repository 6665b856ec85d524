package driver

import (
	"context"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/lockorder"
)

// Observer is one part that hears of every transition.
type Observer struct {
	Name string
	// Reason says why the observer has its place in the order.
	Reason string
	// Observe gets each transition, one at a time and each breaker's in the order of [breaker.Transition.Sequence]. It must not call
	// [Driver.Deliver], and should hand slow work on: observers behind it wait.
	Observe func(breaker.Transition)
}

// Driver is an engine with its clock.
type Driver struct {
	Engine *breaker.Engine
	Clock  Clock

	observers  []Observer
	delivering lockorder.Mutex[lockorder.DriverDelivery] // held while observers are called
	wake       chan struct{}                             // holds one

	mu      lockorder.Mutex[lockorder.DriverLeaf]
	pending []breaker.Transition
}

// New returns a driver of an engine without breakers. Its transitions wait for [Driver.Run] or [Driver.Deliver].
func New() *Driver {
	d := &Driver{Clock: NewClock(), wake: make(chan struct{}, 1)}
	d.Engine = breaker.NewEngine(breaker.Options{Listen: d.push, Wake: d.wakeUp, Now: d.Clock.Now})
	return d
}

// Observe sets the observers, in the order in which they hear of a transition. Call it before there are breakers; without
// observers, transitions are dropped.
func (d *Driver) Observe(observers []Observer) { d.observers = observers }

// wakeUp has Run advance the engine.
func (d *Driver) wakeUp() {
	select {
	case d.wake <- struct{}{}:
	default: // it is to wake already
	}
}

// push is the engine's listener. A transition may begin a wait that is shorter than the one that Run knows of, so Run looks
// again even where there is no observer.
func (d *Driver) push(t breaker.Transition) {
	if len(d.observers) > 0 {
		d.mu.Lock()
		d.pending = append(d.pending, t)
		d.mu.Unlock()
	}
	d.wakeUp()
}

// Run delivers transitions and advances the engine until ctx is over, and then delivers the remaining ones.
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

// Deliver hands all transitions that there have been to the observers, and returns afterwards. It is for callers that go on only
// when everybody has heard, such as a change by hand whose answer shows what it has brought about.
func (d *Driver) Deliver() {
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
