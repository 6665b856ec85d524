package breaker

// past is what only a breaker has that was open once, or whose calls were corrected. Most have none.
type past struct {
	open          open
	halfOpen      halfOpen
	ramp          ramp
	override      *Override
	trip          *Transition
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
