package breaker

import "time"

// Handover holds everything that one engine knows of a breaker, so that another engine goes
// on as if it had been there all the time. Its instants are on the clock of the engine that
// made it. A program that carries it to another process converts them, except for a 0 to
// which the field gives a meaning of its own.
type Handover struct {
	Saved
	// LastFailure is when the last failure was; 0: not known.
	LastFailure Instant
	// Window has the calls that the window of a closed breaker counts, the oldest first.
	Window []Tally
	// Run has the failures of a closed breaker since its last success.
	Run Run
	// Recent has the last successes of a closed breaker, once one was taken back; nil: none was.
	Recent *Recent
	// RampUntil is when the ramp of a closed breaker ends; 0: it is not in its ramp.
	// RampCredit is the sum of shares that the ramp has not spent.
	RampUntil  Instant
	RampCredit Ratio
	// Probes are the probes in flight.
	Probes []Probe
	// LastProbe is the highest id of a probe that was given. The next one is higher, so that
	// no id means two probes. Where it is not known, a number far above any that may have
	// been given does.
	LastProbe uint32
	// Probed has the outcomes of the probes of half-open that have ended.
	Probed Probed
	// ProbesFrom is the earliest of an earlier [Engine.TakeOver]; 0: no probe has to wait.
	ProbesFrom Instant
}

// Run is a run of failures, with what is certain of it.
type Run struct {
	Failures uint32
	Reported bool    // outcomes were reported, and not only counted by permits; else the rest is 0
	OneIn    uint32  // the sparsest sample of successes in it; at 0 and 1 every success was reported
	Exact    uint32  // the failures at its end after the last one from a sample
	Since    Instant // when the first of them was; 0: not known
	Broken   Instant // when the last success was that was reported; 0: not known
}

// Recent is the successes that a breaker remembers, since some are taken back; see
// [Reported.Corrects].
type Recent struct {
	Corrected Instant // when the last one was taken back
	From      Instant // every success since then is among Successes, or was taken back
	Successes []RecentSuccess
}

// RecentSuccess is a success, and the failures between it and the one before.
type RecentSuccess struct {
	At     Instant
	Before Run
	Grown  bool // there are more failures than when they were last judged
}

// Probe is a probe in flight.
type Probe struct {
	ID       uint32
	Deadline Instant // when it loses its slot
}

// Probed has the outcomes of the probes of a half-open state that have ended.
type Probed struct {
	Counts    WindowCounts
	Successes uint64
	Lost      uint64  // probes whose lease ran out
	Resume    Instant // no probe is admitted before, since one was not sent; 0: at once
}

// HandOver returns what another engine needs to go on from the breaker of key, for
// [Engine.TakeOver]. In the same step, so that no outcome is counted in both, it leaves the
// breaker behind as if it were new, in a silent way: closed, without window, override or
// timers, and without a transition. Its totals, generation and sequence stay. Calls in
// flight only count in the totals when they end, or are not counted here; see [Permit.Forget].
//
// It returns false where there is no such breaker. A key with a node means the breaker of a
// proxy, which [Engine.Node] has made.
func (e *Engine) HandOver(key Key, now Instant) (h Handover, ok bool) {
	return e.handover(key, now, (*Breaker).leaveBehindLocked)
}

// Holding returns what [Engine.HandOver] returns, and leaves the breaker as it is.
func (e *Engine) Holding(key Key, now Instant) (h Handover, ok bool) {
	return e.handover(key, now, func(*Breaker, Instant) {})
}

// Forsake leaves the breaker of key behind as [Engine.HandOver] does, when it is another
// engine's already. Where there is no such breaker, it does nothing.
func (e *Engine) Forsake(key Key, now Instant) { e.HandOver(key, now) }

func (e *Engine) handover(key Key, now Instant, then func(*Breaker, Instant)) (h Handover, ok bool) {
	b := e.Breaker(key)
	if b == nil {
		return Handover{}, false
	}
	b.lock(now)
	h = b.handoverLocked()
	then(b, now)
	b.unlock()
	return h, true
}

// TakeOver goes on from h, whose instants are on this engine's clock. It makes no
// transition, so that listeners get only the next one, with the next sequence and
// generation. Time goes on as usual: a wait that has ended meanwhile ends by an ordinary
// transition.
//
// No probe is admitted before earliest, in this half-open state or a later one. That is when
// the leases have run out that the engine before may have given and h does not know. At an
// earliest that is not after now, there are none. A half-open state that has to wait
// for earliest lasts from then on as long as a new one may. Probes in flight keep their slots
// until their deadlines; resolve them by [Engine.SettleProbe].
//
// Calls that the breaker has counted by itself while it was closed count too. If it has tripped
// meanwhile, and h is closed and not forced, the trip stands. If an operator has forced another state on
// it meanwhile, that stays in force. A breaker whose Config differs from h's takes over
// the override and the episode, and then starts again as in [Engine.Apply]: from a state
// that is not closed by a transition with the reason [PolicyChanged].
//
// It returns false, and does nothing, where h is not sound, where there is no such breaker,
// and where there is no room for another breaker of a proxy.
func (e *Engine) TakeOver(h *Handover, earliest, now Instant) bool {
	g := e.group(h.Key)
	forged := h.State > Open || h.Override != nil && h.Override.State != h.State
	if g == nil || forged || h.Key.Node != "" && g.nodes == nil {
		return false
	}
	defer e.shared.deliver()
	take := func(b *Breaker) { b.takeOver(h, earliest, now) }
	if h.Key.Node == "" {
		take(&g.Breaker)
		return true
	}
	return g.meetAs(h.Key.Node, take, now)
}

// Settlement is how a probe ended that is resolved by its id.
type Settlement struct {
	Probe   uint32 // its id, as [Engine.AcquireProbe] or [Permit.Probe] returned it
	Outcome Outcome
	Took    time.Duration // how long the service took
	Unsent  bool          // see [Permit.Unsent]
	// Refused says that the call was not made; see [Permit.Refuse]. The other fields then have no
	// meaning.
	Refused bool
}

// AcquireProbe is [Engine.Acquire] for a call that another process makes, and which has
// no permit here. In half-open it returns the id of the probe if the call is admitted; resolve it
// by [Engine.SettleProbe]. A call that is admitted without an id is counted when
// it is reported with the generation; see [Reported.Generation]. Until it ends the call is
// not among the calls in flight, and a probe that is never settled is counted nowhere. Where
// there is no such breaker, the call is admitted, and the generation is 0.
func (e *Engine) AcquireProbe(key Key, now Instant) (probe uint32, generation uint64, d Decision) {
	b := e.Breaker(key)
	if b == nil {
		return 0, 0, Decision{Admitted: true, State: Closed}
	}
	return b.acquireProbe(now)
}

// SettleProbe resolves a probe by its id, also if another engine has given it, with the effect that its
// permit would have: its outcome always counts in the totals, and it changes the state only
// if the probe still holds its slot, which held reports. Where the permit is this engine's, it must
// not be resolved too. Where there is no such breaker, SettleProbe does nothing.
func (e *Engine) SettleProbe(key Key, s Settlement, now Instant) (held bool) {
	b := e.Breaker(key)
	return b != nil && b.settleProbe(&s, now)
}
