package breaker

import (
	"sync"
	"sync/atomic"
)

// Breaker is one state machine. Get it from [Engine.Breaker]. All methods are safe for
// concurrent use.
//
// Calls that change nothing are counted in its cells without the lock. Everything else
// takes the lock, which closes the cells and brings the breaker to the present; when
// it is released, the cells are opened as the state allows.
type Breaker struct {
	// The fields that a call of a closed breaker needs, and those by which the breaker is
	// found, share one cache line.
	cell     cell
	upstream string
	suffix   *suffix // nil when all its fields are zero

	striped    atomic.Pointer[stripes] // once there are stripes, cell takes no calls
	collisions atomic.Uint32
	memorable  atomic.Bool // it has something that should outlive the process
	engine     *shared

	mu          sync.Mutex
	retired     bool    // removed from the engine; its transitions are not delivered
	listed      bool    // among the breakers that Advance looks at
	watched     bool    // Advance will notice calls in flight that become slow
	untimed     uint32  // calls in flight of this closed state that cannot become slow
	due         Instant // when time alone will change the breaker, or never
	state       State
	epochs      epochs // shared by the cells and the flight
	orphans     uint32 // calls in flight that no state waits for
	generation  uint64 // an outcome changes the state only in the generation that admitted its call
	sequence    uint64
	since       Instant
	lastFailure Instant
	params      *params
	past        *past // nil until the breaker first needs it
	closed      closed
	flight      flight
	counts      totals
}

// suffix has the rest of the key, which only the breaker of a route or a proxy needs, and
// the owner of the proxy where that is known.
type suffix struct {
	route, node, owner string
	spare              bool // each proxy has a breaker; this one is for those beyond the bounds
}

// begin makes b a breaker of the engine e.
func (b *Breaker) begin(key Key, p *params, e *shared, now Instant) {
	b.upstream, b.engine, b.params, b.generation, b.since = key.Upstream, e, p, 1, now
	if b.suffix == nil && (key.Route != "" || key.Node != "") {
		b.suffix = &suffix{}
	}
	if b.suffix != nil {
		b.suffix.route, b.suffix.node = key.Route, key.Node
	}
	b.due = never
	b.cell.breaker = b
	b.mu.Lock()
	b.enterClosedLocked(now)
	if p.Mode == ForcedOpen {
		b.moveLocked(Open, PolicyForced, now)
	}
	b.release()
}

// key returns the key of the breaker.
func (b *Breaker) key() Key {
	if b.suffix == nil {
		return Key{Upstream: b.upstream}
	}
	return Key{Upstream: b.upstream, Route: b.suffix.route, Node: b.suffix.node}
}

// spare reports whether each proxy has a breaker of its own, and this one is for the calls
// that come from no such proxy. There may be none.
func (b *Breaker) spare() bool { return b.suffix != nil && b.suffix.spare }

// named reports whether the breaker belongs to a route of an upstream.
func (b *Breaker) named(upstream, route string) bool {
	if b.suffix == nil {
		return route == "" && b.upstream == upstream
	}
	return b.suffix.route == route && b.upstream == upstream
}

// Acquire asks for a permit for one call that begins now. When the decision is
// not to admit, the permit is zero and needs no Done.
func (b *Breaker) Acquire(now Instant) (Permit, Decision) { return b.acquire(&b.cell, now) }

// acquire asks a cell first.
func (b *Breaker) acquire(c *cell, now Instant) (Permit, Decision) {
	w := c.word.Load()
	if end := Instant(c.end.Load()); now < end {
		switch w >> phaseShift {
		case calm:
			if c.admit(w) {
				return Permit{cell: c, began: now, mark: markOf(w)}, Decision{Admitted: true}
			}
		case rejecting:
			if c.reject(w) {
				return Permit{}, Decision{State: Open, RetryAfter: end.Sub(now)}
			}
		}
	}
	if s := b.striped.Load(); s != nil && c == &b.cell {
		return b.acquire(s.pick(), now)
	}
	return b.acquireSlowly(c, w, now)
}

// acquireSlowly asks under the lock, after the cell c, which was at w, did not take the
// call.
func (b *Breaker) acquireSlowly(c *cell, w uint64, now Instant) (Permit, Decision) {
	b.collided(c, w)
	b.lock(now)
	p, d := b.admitLocked(c, inCell, now)
	b.unlock()
	return p, d
}

// AcquireUploading is [Breaker.Acquire] for a call whose request has not ended yet. The
// service's time has not begun, so the call never counts as slow while it is in flight.
// Resolve its permit with [Permit.Settle], which says how long the service took.
func (b *Breaker) AcquireUploading(now Instant) (Permit, Decision) {
	b.lock(now)
	p, d := b.admitLocked(&b.cell, untimed, now)
	b.unlock()
	return p, d
}

// collided counts how often another call has used a cell between two looks of one call.
func (b *Breaker) collided(c *cell, w uint64) {
	if c.contended(w) && b.collisions.Load() < manyCollisions {
		b.collisions.Add(1)
	}
}

// Status returns the status of the breaker at now. Reading it advances the window and
// makes the transitions that are due.
func (b *Breaker) Status(now Instant) Status {
	s := b.peek(now)
	b.engine.deliver()
	return s
}

// peek is Status for a caller that holds a lock. The caller has transitions delivered
// after it has released its lock.
func (b *Breaker) peek(now Instant) Status {
	b.lock(now)
	defer b.release()
	return b.statusLocked(now)
}
