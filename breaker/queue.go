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

// handOn is after how many transitions whoever delivers may go back to its own work.
const handOn = 64

// deliver empties the queue; the caller holds no lock of a breaker. In a flood of
// transitions it leaves the rest to the goroutine that [Options.Wake] wakes, so that no
// call is held up for those of others.
func (s *shared) deliver() {
	if s.queue.waiting.Load() > 0 && s.queue.some(s.wake != nil) {
		s.stir.Store(true)
	}
	if s.stir.Load() && s.stir.Swap(false) && s.wake != nil {
		s.wake()
	}
}

// some delivers what there is, unless somebody does already. It tells whether it left
// something to do, which it only does where it may.
func (q *queue) some(mayLeave bool) (left bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.busy {
		return false
	}
	q.busy = true
	for delivered := 0; len(q.pending) > 0; delivered += handOn {
		if left = mayLeave && delivered > 0; left {
			break
		}
		batch := q.pending[:min(len(q.pending), handOn)]
		q.pending = q.pending[len(batch):]
		q.waiting.Store(int32(len(q.pending)))
		q.mu.Unlock()
		for _, t := range batch {
			q.listen(t)
		}
		q.mu.Lock()
	}
	q.busy = false
	return left
}

// restless are the breakers that time alone will change, so that finding out which
// ones are due costs as much as there is trouble, not as there are breakers.
type restless struct {
	wake func()
	stir atomic.Bool // wake is to be called
	// next is when Advance will be called again, at the latest: what it has told.
	// Never, while that is not known.
	next atomic.Int64

	advance sync.Mutex // serialises Advance
	listMu  sync.Mutex
	all     []*Breaker
}

// list adds a breaker; the caller holds its lock, and has noted that it is listed.
func (r *restless) list(b *Breaker) {
	r.listMu.Lock()
	r.all = append(r.all, b)
	r.listMu.Unlock()
}

// expect has Advance called at due. The breaker that it is for is listed already,
// so either Advance is still to see it there, or has told when it comes again.
func (r *restless) expect(due Instant) {
	if due < Instant(r.next.Load()) {
		r.stir.Store(true)
	}
}

// Advance makes the transitions that the passing of time alone brings, and
// returns when the next one is due, at the earliest; false when none is. It looks
// only at breakers that wait for something. Call it again then, and when
// [Options.Wake] says so.
func (e *Engine) Advance(now Instant) (next Instant, ok bool) {
	r := &e.shared.restless
	r.advance.Lock()
	defer e.shared.deliver() // when the lock is released
	defer r.advance.Unlock()
	r.next.Store(int64(never))
	r.listMu.Lock()
	all := r.all
	r.all = nil
	r.listMu.Unlock()
	next = never
	kept := slices.DeleteFunc(all, func(b *Breaker) bool {
		due := b.advanceTo(now)
		next = min(next, due)
		return due == never
	})
	r.listMu.Lock()
	r.all = append(kept, r.all...)
	r.listMu.Unlock()
	r.next.Store(int64(next))
	if next == never {
		return 0, false
	}
	return next, true
}

// advanceTo brings the breaker to now if it is due, and returns when it is due then;
// never, when it is listed no more.
func (b *Breaker) advanceTo(now Instant) Instant {
	due := b.waits()
	if due > now {
		return due
	}
	b.peek(now)
	return b.waits()
}

// waits returns when a listed breaker is due. One that is not due ever, or is no longer
// the engine's, is listed no more.
func (b *Breaker) waits() Instant {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.retired {
		b.due = never
	}
	b.listed = b.due != never
	return b.due
}
