package app

import (
	"context"
	"sync"
	"time"

	"breakwater.dev/breaker"
)

// transitions takes the engine's transitions off the requests' path, and makes
// those happen that only time brings.
type transitions struct {
	engine  *breaker.Engine
	clock   clock
	deliver func(breaker.Transition) // called in order, by run alone

	mu      sync.Mutex
	pending []breaker.Transition
	wake    chan struct{} // holds one
}

func newTransitions(c clock, deliver func(breaker.Transition)) *transitions {
	t := &transitions{clock: c, deliver: deliver, wake: make(chan struct{}, 1)}
	t.engine = breaker.NewEngine(breaker.Options{Listen: t.push, Wake: t.wakeUp, Now: c.now})
	return t
}

// wakeUp has run look at the engine.
func (t *transitions) wakeUp() {
	select {
	case t.wake <- struct{}{}:
	default: // it is to wake already
	}
}

// push is the engine's listener.
func (t *transitions) push(tr breaker.Transition) {
	t.mu.Lock()
	t.pending = append(t.pending, tr)
	t.mu.Unlock()
	t.wakeUp()
}

// run delivers transitions and advances the engine until ctx is over, and
// delivers what is left then.
func (t *transitions) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			t.drain()
			return
		case <-t.wake:
		case <-timer.C:
		}
		next, due := t.engine.Advance(t.clock.now())
		t.drain()
		if due {
			timer.Reset(max(next.Sub(t.clock.now()), 0))
		} else {
			timer.Stop()
		}
	}
}

func (t *transitions) drain() {
	t.mu.Lock()
	batch := t.pending
	t.pending = nil
	t.mu.Unlock()
	for _, tr := range batch {
		t.deliver(tr)
	}
}
