package breaker

import (
	"slices"
	"sync"
	"sync/atomic"
)

// restless lists the breakers that time alone will change, so that Advance costs as much
// as there are breakers in trouble, and not as much as there are breakers.
type restless struct {
	wake func()
	stir atomic.Bool // wake has to be called
	// next is when Advance will be called again at the latest: the instant that it last
	// returned. It is never while that is not known.
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

// expect makes sure that Advance is called at due. The breaker is listed already, so
// Advance either will still find it, or has said when it will be called again.
func (r *restless) expect(due Instant) {
	if due < Instant(r.next.Load()) {
		r.stir.Store(true)
	}
}

// Advance makes the transitions that time alone brings until now. It returns the
// earliest instant at which there may be another one; ok is false when nothing is
// waiting for time to pass. Call it again then, and when [Options.Wake] is called. It
// costs nothing for breakers that wait for nothing.
func (e *Engine) Advance(now Instant) (next Instant, ok bool) {
	r := &e.shared.restless
	r.advance.Lock()
	defer e.shared.deliver() // after the lock is released
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

// advanceTo brings the breaker to now if it is due. It returns when the breaker is due
// next; never, when it is no longer listed.
func (b *Breaker) advanceTo(now Instant) Instant {
	due := b.waits()
	if due > now {
		return due
	}
	b.peek(now)
	return b.waits()
}

// waits returns when a listed breaker is due. A breaker that waits for nothing, or was
// removed from the engine, is no longer listed.
func (b *Breaker) waits() Instant {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.retired {
		b.due = never
	}
	b.listed = b.due != never
	return b.due
}
