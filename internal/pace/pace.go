package pace

import (
	"context"
	"sync"
	"time"

	"breakwater.dev/breaker"
)

// Pace is an engine with its clock. It takes transitions off the calls' path, and
// makes those happen that only time brings.
type Pace struct {
	Engine *breaker.Engine
	Clock  Clock

	deliver    func(breaker.Transition) // called in order, one at a time
	delivering sync.Mutex
	wake       chan struct{} // holds one

	mu      sync.Mutex
	pending []breaker.Transition
}

// New returns an engine without breakers. Its transitions wait for [Pace.Run], which
// gives them to deliver; with nil nobody hears of them, and none waits.
func New(deliver func(breaker.Transition)) *Pace {
	p := &Pace{Clock: NewClock(), deliver: deliver, wake: make(chan struct{}, 1)}
	p.Engine = breaker.NewEngine(breaker.Options{Listen: p.push, Wake: p.wakeUp, Now: p.Clock.Now})
	return p
}

// wakeUp has Run look at the engine.
func (p *Pace) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default: // it is to wake already
	}
}

// push is the engine's listener. A transition may be the beginning of a wait that is
// shorter than the one that Run knows of, so Run looks also where nobody else does.
func (p *Pace) push(t breaker.Transition) {
	if p.deliver != nil {
		p.mu.Lock()
		p.pending = append(p.pending, t)
		p.mu.Unlock()
	}
	p.wakeUp()
}

// Run delivers transitions and advances the engine until ctx is over, and
// delivers what is left then.
func (p *Pace) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			p.Deliver()
			return
		case <-p.wake:
		case <-timer.C:
		}
		next, due := p.Engine.Advance(p.Clock.Now())
		p.Deliver()
		if due {
			timer.Reset(max(next.Sub(p.Clock.Now()), 0))
		} else {
			timer.Stop()
		}
	}
}

// Deliver delivers the transitions there have been, for those who want to go on
// only when they are told. What they are delivered to must not call it.
func (p *Pace) Deliver() {
	p.delivering.Lock()
	defer p.delivering.Unlock()
	p.mu.Lock()
	batch := p.pending
	p.pending = nil
	p.mu.Unlock()
	for _, t := range batch {
		p.deliver(t)
	}
}
