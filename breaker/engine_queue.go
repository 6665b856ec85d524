package breaker

import (
	"sync"
	"sync/atomic"
)

// queue delivers transitions in the order in which they were pushed, while no breaker is
// locked. The first goroutine that finds it idle delivers; others, the listener
// included, leave their transitions to the goroutine at work.
type queue struct {
	listen  func(Transition)
	waiting atomic.Int32 // len(pending), for reading without the lock

	mu      sync.Mutex
	pending []Transition
	busy    bool
	pushed  uint64     // how many transitions there were
	heard   uint64     // how many of them the listener has returned from
	idle    *sync.Cond // signalled when busy ends
}

// push adds a transition; the caller holds the lock of its breaker.
func (q *queue) push(t Transition) {
	if q.listen == nil {
		return
	}
	q.mu.Lock()
	q.pending = append(q.pending, t)
	q.pushed++
	q.waiting.Store(int32(len(q.pending)))
	q.mu.Unlock()
}

// handOn is after how many transitions a goroutine that delivers may return to its own
// work.
const handOn = 64

// deliver empties the queue; the caller holds no lock of a breaker. In a flood of
// transitions it leaves the rest to the goroutine that [Options.Wake] wakes, so that no
// call is held up for the transitions of others.
func (s *shared) deliver() {
	if s.queue.waiting.Load() > 0 && s.queue.some(s.wake != nil) {
		s.stir.Store(true)
	}
	if s.stir.Load() && s.stir.Swap(false) && s.wake != nil {
		s.wake()
	}
}

// Flush returns when the listener has had every transition that there was before the call.
// It is for callers that go on by what the listener does. A listener must not call it.
func (e *Engine) Flush() {
	e.shared.queue.flush()
	e.shared.deliver() // the transitions that others left to it meanwhile
}

// some delivers transitions, unless another goroutine does already. It reports whether
// it left some in the queue, which it does only where it may.
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
		q.heard += uint64(len(batch))
	}
	q.busy = false
	q.idle.Broadcast()
	return left
}

// flush delivers every transition that was pushed before; see [Engine.Flush].
func (q *queue) flush() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for pushed := q.pushed; q.heard < pushed; {
		if q.busy {
			q.idle.Wait()
			continue
		}
		q.mu.Unlock()
		q.some(true)
		q.mu.Lock()
	}
}
