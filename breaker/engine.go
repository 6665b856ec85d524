package breaker

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Engine holds all breakers of a process.
//
// Reading the table of breakers takes no lock; each breaker has its own. Changes
// of the table are serialised and become visible all at once.
type Engine struct {
	apply sync.Mutex // serialises Apply
	table atomic.Pointer[table]
	queue queue
}

type table struct {
	byKey map[Key]*Breaker
	list  []*Breaker // in the order of Apply's specs
}

// NewEngine returns an engine without breakers. listen is called for every
// transition, one at a time, for each breaker in order of [Transition.Sequence],
// with no lock held: it may call the engine. It runs on the goroutine of
// whichever call caused the transition, so it should hand slow work on, and it
// must not panic. It may be nil.
func NewEngine(listen func(Transition)) *Engine {
	e := &Engine{queue: queue{listen: listen}}
	e.table.Store(&table{})
	return e
}

// Changes says what [Engine.Apply] did, by key, in the order of the specs; the
// breakers that it kept as they were are not mentioned.
type Changes struct {
	Added     []Key
	Removed   []Key // in no particular order
	Restarted []Key // new semantics: closed, in a new generation
}

// Apply makes specs the engine's breakers. A breaker whose Config is the same
// keeps its state; one whose Config differs starts closed, in a new generation,
// and keeps its counts. The keys of specs must differ from each other, their
// configs be valid ([Config.Validate]) and their leases be above 0.
func (e *Engine) Apply(specs []Spec, now Instant) Changes {
	defer e.queue.deliver() // when the lock is released: a listener may apply, too
	e.apply.Lock()
	defer e.apply.Unlock()
	old := e.table.Load()
	gone := maps.Clone(old.byKey)
	next := &table{byKey: make(map[Key]*Breaker, len(specs)), list: make([]*Breaker, 0, len(specs))}
	var ch Changes
	for _, s := range specs {
		b, ok := old.byKey[s.Key]
		switch {
		case !ok:
			b = newBreaker(s, &e.queue, now)
			ch.Added = append(ch.Added, s.Key)
		case b.configure(s, now):
			ch.Restarted = append(ch.Restarted, s.Key)
		}
		delete(gone, s.Key)
		next.byKey[s.Key] = b
		next.list = append(next.list, b)
	}
	e.table.Store(next)
	for key, b := range gone {
		b.retire()
		ch.Removed = append(ch.Removed, key)
	}
	return ch
}

// Breaker returns the breaker of key, or nil. The handle stays valid: of a
// breaker that was removed since, it still admits and resolves calls, but nobody
// hears of its transitions.
func (e *Engine) Breaker(key Key) *Breaker { return e.table.Load().byKey[key] }

// Acquire asks the breaker of key for a permit. Where there is no such breaker,
// the call is admitted and its permit does nothing.
func (e *Engine) Acquire(key Key, now Instant) (Permit, Decision) {
	b := e.Breaker(key)
	if b == nil {
		return Permit{}, Decision{Admitted: true, State: Closed}
	}
	return b.Acquire(now)
}

// Advance makes the transitions that the passing of time alone brings, and
// returns when the next one is due; false when none is.
func (e *Engine) Advance(now Instant) (next Instant, ok bool) {
	for _, b := range e.table.Load().list {
		due := Instant(b.due.Load())
		if due == never {
			continue
		}
		if due <= now {
			b.Status(now)
			if due = Instant(b.due.Load()); due == never {
				continue
			}
		}
		if !ok || due < next {
			next, ok = due, true
		}
	}
	return next, ok
}

// Snapshot returns the status of every breaker at now, in the order of the last
// Apply's specs. It locks one breaker at a time.
func (e *Engine) Snapshot(now Instant) []Status {
	list := e.table.Load().list
	all := make([]Status, len(list))
	for i, b := range list {
		all[i] = b.Status(now)
	}
	return all
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
func (q *queue) deliver() {
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
