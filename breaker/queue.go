package breaker

import (
	"slices"
	"sync"
	"sync/atomic"
)

// shared is what all breakers of an engine have in common.
type shared struct {
	queue
	restless
	now func() Instant
}

// queue delivers transitions in the order they were pushed, outside all locks
// of breakers. Whoever finds it idle delivers; others, the listener itself among
// them, leave their transitions to the one at work.
type queue struct {
	listen  func(Transition)
	waiting atomic.Int32 // len(pending), to be read without the lock

	mu      sync.Mutex
	pending []Transition
	busy    bool
}

// push adds a transition; the caller holds the lock of its breaker.
func (q *queue) push(t Transition) {
	if q.listen == nil {
		return
	}
	q.mu.Lock()
	q.pending = append(q.pending, t)
	q.waiting.Store(int32(len(q.pending)))
	q.mu.Unlock()
}

// deliver empties the queue; the caller holds no lock of a breaker.
func (s *shared) deliver() {
	s.wakeUp()
	q := &s.queue
	if q.waiting.Load() == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.busy {
		return
	}
	q.busy = true
	for len(q.pending) > 0 {
		batch := q.pending
		q.pending = nil
		q.waiting.Store(0)
		q.mu.Unlock()
		for _, t := range batch {
			q.listen(t)
		}
		q.mu.Lock()
	}
	q.busy = false
}

// restless are the breakers that time alone will change, so that finding out which
// ones are due costs as much as there is trouble, not as there are breakers.
type restless struct {
	wake func()
	stir atomic.Bool // somebody was added, or is due earlier, since wake was called

	advance sync.Mutex // serialises Advance
	listMu  sync.Mutex
	all     []*Breaker
}

// list adds a breaker; the caller holds its lock, and has noted that it is listed.
func (r *restless) list(b *Breaker) {
	r.listMu.Lock()
	r.all = append(r.all, b)
	r.listMu.Unlock()
	r.stir.Store(true)
}

func (r *restless) wakeUp() {
	if r.stir.Load() && r.stir.Swap(false) && r.wake != nil {
		r.wake()
	}
}

// Advance makes the transitions that the passing of time alone brings, and
// returns when the next one is due, at the earliest; false when none is. It looks only at breakers
// that wait for something. [Options.Wake] tells when there is one more of them.
func (e *Engine) Advance(now Instant) (next Instant, ok bool) {
	r := &e.shared.restless
	r.advance.Lock()
	defer e.shared.deliver() // when the lock is released
	defer r.advance.Unlock()
	r.listMu.Lock()
	all := r.all
	r.all = nil
	r.listMu.Unlock()
	kept := slices.DeleteFunc(all, func(b *Breaker) bool {
		due, rests := b.advanceTo(now)
		if !rests && (!ok || due < next) {
			next, ok = due, true
		}
		return rests
	})
	r.listMu.Lock()
	r.all = append(kept, r.all...)
	r.listMu.Unlock()
	return next, ok
}

// advanceTo brings the breaker to now if it is due, and takes note that it is no
// longer listed if nothing is due any more.
func (b *Breaker) advanceTo(now Instant) (due Instant, rests bool) {
	if due = b.promise(); due > now {
		return due, due == never
	}
	b.lock(now)
	defer b.release()
	b.restLocked()
	if b.due == never || b.retired {
		b.listed = false
		return never, true
	}
	b.promised = b.due
	return b.due, false
}

// promise returns when the breaker is due, and takes note that Advance comes again
// then, or no more.
func (b *Breaker) promise() Instant {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.retired {
		b.due = never
	}
	b.promised, b.listed = b.due, b.due != never
	return b.due
}
