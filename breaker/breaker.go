package breaker

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// never is the due time of a breaker that waits for nothing.
const never Instant = math.MaxInt64

// Breaker is one state machine. Get it from [Engine.Breaker].
type Breaker struct {
	key   Key
	queue *queue
	// due is when time alone will change the state, or never. It is written with mu
	// held and read without.
	due atomic.Int64

	mu          sync.Mutex
	retired     bool // no longer of the engine: its transitions are nobody's business
	config      Config
	lease       time.Duration
	state       State
	generation  uint64 // of the state: an outcome counts only in the generation that admitted its call
	sequence    uint64
	since       Instant
	closed      closed
	open        open
	halfOpen    halfOpen
	counts      Counts
	lastFailure Instant
}

func newBreaker(s Spec, q *queue, now Instant) *Breaker {
	b := &Breaker{key: s.Key, queue: q, config: s.Config, lease: s.Lease, generation: 1, since: now}
	b.closed.enter(&b.config)
	b.due.Store(int64(never))
	return b
}

// Permit is the right to make one call. It is a lease: resolve it with
// [Permit.Done] whatever becomes of the call. The zero Permit does nothing. It has one
// owner, who must not copy it.
type Permit struct {
	breaker    *Breaker
	generation uint64
	probe      uint64 // the id of its slot in half-open, else 0
}

// Acquire asks for a permit for one call that begins now. When the decision is
// not to admit, the permit is zero and needs no Done.
func (b *Breaker) Acquire(now Instant) (Permit, Decision) {
	b.mu.Lock()
	b.advanceLocked(now)
	b.counts.Requests++
	p := Permit{breaker: b, generation: b.generation}
	d := Decision{Admitted: true, State: b.state}
	switch b.state {
	case HalfOpen:
		p.probe = b.halfOpen.admit(&b.config, now.Add(b.lease))
		d.Admitted = p.probe != 0
	case Open:
		d.Admitted = false
		d.RetryAfter = b.open.until.Sub(now)
	}
	if !d.Admitted {
		b.counts.Rejected++
		p = Permit{}
	}
	b.mu.Unlock()
	b.queue.deliver()
	return p, d
}

// Done resolves the permit: what became of the call, known now. Only the first
// Done of a permit does anything. The outcome is always counted; it changes
// the state only if the breaker is still in the generation that admitted the
// call, and, for a probe, if its lease has not run out.
func (p *Permit) Done(o Outcome, now Instant) {
	b := p.breaker
	if b == nil {
		return
	}
	p.breaker = nil
	b.mu.Lock()
	b.advanceLocked(now)
	b.counts.add(o)
	if o.Failed() {
		b.lastFailure = now
	}
	if p.generation == b.generation {
		b.recordLocked(p.probe, o, now)
	}
	b.mu.Unlock()
	b.queue.deliver()
}

// Status returns the breaker as it stands at now. Reading advances the window and
// makes the transitions that are due.
func (b *Breaker) Status(now Instant) Status {
	b.mu.Lock()
	b.advanceLocked(now)
	s := Status{
		Key: b.key, Config: b.config, State: b.state, Generation: b.generation, Since: b.since,
		Window: b.windowLocked(), Counts: b.counts, LastFailure: b.lastFailure,
	}
	switch b.state {
	case HalfOpen:
		s.ProbesInFlight = uint32(len(b.halfOpen.slots))
	case Open:
		s.RetryAfter = b.open.until.Sub(now)
	}
	b.mu.Unlock()
	b.queue.deliver()
	return s
}

// advanceLocked brings the breaker to now: what is due by time alone happens.
func (b *Breaker) advanceLocked(now Instant) {
	switch b.state {
	case Closed:
		b.closed.window.advance(now)
	case Open:
		if now >= b.open.until {
			b.moveLocked(Edge{Open, HalfOpen, WaitOver}, now)
		}
	case HalfOpen:
		b.counts.LeasesExpired += b.halfOpen.expire(now)
		if now >= b.halfOpen.until {
			b.moveLocked(Edge{HalfOpen, Open, HalfOpenExpired}, now)
		}
	}
}

// recordLocked gives an outcome of the current generation to the state.
func (b *Breaker) recordLocked(probe uint64, o Outcome, now Instant) {
	switch b.state {
	case Closed:
		if reason, trip := b.closed.record(&b.config, o); trip {
			b.moveLocked(Edge{Closed, Open, reason}, now)
		}
	case HalfOpen:
		switch b.halfOpen.record(&b.config, probe, o) {
		case probesFailed:
			b.moveLocked(Edge{HalfOpen, Open, ProbeFailed}, now)
		case probesSucceeded:
			b.moveLocked(Edge{HalfOpen, Closed, ProbesSucceeded}, now)
		}
	}
}

// moveLocked changes the state. It is the only place that does.
func (b *Breaker) moveLocked(edge Edge, now Instant) {
	t := Transition{Key: b.key, Edge: edge, At: now, Since: b.since, Window: b.windowLocked()}
	b.generation++
	b.sequence++
	b.state, b.since = edge.To, now
	due := never
	switch edge.To {
	case Closed:
		b.closed.enter(&b.config)
		b.closed.window.advance(now)
	case Open:
		t.Wait = b.config.WaitDurationInOpenState
		due = b.open.enter(now.Add(t.Wait))
	case HalfOpen:
		due = b.halfOpen.enter(now.Add(b.config.MaxWaitDurationInHalfOpenState))
	}
	b.due.Store(int64(due))
	t.Generation, t.Sequence = b.generation, b.sequence
	if !b.retired {
		b.queue.push(t)
	}
}

func (b *Breaker) windowLocked() WindowCounts {
	switch b.state {
	case Closed:
		return b.closed.counts()
	case HalfOpen:
		return b.halfOpen.counts
	default:
		return WindowCounts{}
	}
}

// configure takes on s and tells whether that restarted the breaker.
func (b *Breaker) configure(s Spec, now Instant) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now = max(now, b.since) // calls went on since the caller read the clock
	b.advanceLocked(now)
	b.lease = s.Lease
	if b.config == s.Config {
		return false
	}
	b.config = s.Config
	if b.state != Closed {
		b.moveLocked(Edge{b.state, Closed, PolicyChanged}, now)
		return true
	}
	b.generation++
	b.since = now
	b.closed.enter(&b.config)
	b.closed.window.advance(now)
	return true
}

func (b *Breaker) retire() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.retired = true
}

func (c *Counts) add(o Outcome) {
	switch o {
	case Success:
		c.Successes++
	case Timeout:
		c.Timeouts++
		c.Failures++
	case Failure:
		c.Failures++
	case Ignored:
		c.Ignored++
	}
}
