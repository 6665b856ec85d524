package breaker

import "time"

// ramp is the time after closing in which only a share of the calls is admitted.
type ramp struct {
	since, until Instant
	credit       Ratio // the sum of shares that is not spent; Whole pays for one call
}

// rampStart is the share that is admitted at the beginning.
const rampStart Ratio = 1_000

func (r *ramp) enter(since, until Instant) {
	*r = ramp{since: since, until: until, credit: Whole - rampStart}
}

// share returns the share that is admitted at now, which is before the end.
func (r *ramp) share(now Instant) Ratio {
	past := max(now-r.since, 0)
	return rampStart + Ratio(Instant(Whole-rampStart)*past/(r.until-r.since))
}

// admit admits the share of the calls, evenly spread over them.
func (r *ramp) admit(now Instant) bool {
	r.credit += r.share(now)
	if r.credit < Whole {
		return false
	}
	r.credit -= Whole
	return true
}

// RampShare returns the share of calls that a closed breaker admits when a time has passed since the beginning of its ramp.
func RampShare(past, duration time.Duration) Ratio {
	if past >= duration {
		return Whole
	}
	r := ramp{until: Instant(duration)}
	return r.share(Instant(past))
}
