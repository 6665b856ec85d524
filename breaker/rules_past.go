package breaker

// past holds what a breaker needs once it has been open, or once an outcome was corrected.
// It is allocated then, so that the many breakers to which this never happens are small.
type past struct {
	open          open
	halfOpen      halfOpen
	probesFrom    Instant // no probe is admitted before, in no state of half-open; see [Engine.TakeOver]
	ramp          ramp
	override      *Override
	episode       *Episode
	wouldReject   uint64
	leasesExpired uint64
	lag           lag
}

// nothing is the past of a breaker that has none. It is never written.
var nothing past

// pastLocked returns the past for reading.
func (b *Breaker) pastLocked() *past {
	if b.past == nil {
		return &nothing
	}
	return b.past
}

// ownPastLocked returns the past for writing.
func (b *Breaker) ownPastLocked() *past {
	if b.past == nil {
		b.past = &past{}
	}
	return b.past
}

// shrinkLocked frees the past of a closed breaker that has nothing to remember.
func (b *Breaker) shrinkLocked() {
	if p := b.past; p != nil && b.state == Closed && !b.closed.ramping && p.override == nil && p.episode == nil && p.open.openings == 0 &&
		p.halfOpen.lastProbe == 0 && p.probesFrom == 0 && p.wouldReject == 0 && p.leasesExpired == 0 && p.lag == (lag{}) {
		b.past = nil
	}
}

// record remembers a transition that belongs to an episode. It returns the cause of the
// episode, or nil where t is the cause. A restart begins no episode; it continues one.
func (p *past) record(t *Transition) (cause *Transition) {
	e := Episode{}
	if p.episode != nil {
		e = *p.episode
	}
	switch {
	case t.Edge.From != Closed || t.Edge.Reason == Restored && t.Edge.To != Closed:
		cause = e.Cause
	case t.Edge.To != Closed:
		e.Cause = t
	}
	if t.Edge.To == Open && t.Edge.Reason.ByRule() {
		e.Trip = t
	}
	if e != (Episode{}) {
		p.episode = &e
	}
	return cause
}
