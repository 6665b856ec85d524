package breaker

// past is what only a breaker has that was open once, or whose calls were corrected. Most have none.
type past struct {
	open          open
	halfOpen      halfOpen
	ramp          ramp
	override      *Override
	episode       *Episode
	wouldReject   uint64
	leasesExpired uint64
	lag           lag
}

// nothing is the past of a breaker that has none. It is never written.
var nothing past

// pastLocked returns the past, to be read.
func (b *Breaker) pastLocked() *past {
	if b.past == nil {
		return &nothing
	}
	return b.past
}

// record remembers a transition that belongs to an episode, and returns what began that; nil
// where t does. A restart begins none: it goes on with one.
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

// ramp is the time after closing in which a share of the calls is admitted.
type ramp struct {
	since, until Instant
	credit       Ratio // what the calls so far have saved up; Whole is worth one call
}

// rampStart is the share that is admitted at once.
const rampStart Ratio = 1_000

func (r *ramp) enter(since, until Instant) {
	*r = ramp{since: since, until: until, credit: Whole - rampStart}
}

// share is what is admitted at now, which is before the end.
func (r *ramp) share(now Instant) Ratio {
	past := max(now-r.since, 0)
	return rampStart + Ratio(Instant(Whole-rampStart)*past/(r.until-r.since))
}

// admit lets calls through evenly, as many as the share says.
func (r *ramp) admit(now Instant) bool {
	r.credit += r.share(now)
	if r.credit < Whole {
		return false
	}
	r.credit -= Whole
	return true
}
