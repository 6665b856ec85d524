package store

import (
	"time"

	"breakwater.dev/breaker"
)

// Clock reads both clocks at the same moment: the engine's, which is a new one in
// every process, and the wall's, which outlives them. Reading both each time,
// rather than once at the start, makes up for a wall clock that was set in between.
type Clock func() (breaker.Instant, time.Time)

// anchor is a moment on both clocks, by which times of one become times of the other.
type anchor struct {
	instant breaker.Instant
	wall    time.Time
}

func (c Clock) anchor() anchor {
	i, w := c()
	return anchor{i, w.Round(0).UTC()} // without the monotonic reading, which would win in Sub
}

// century bounds what is read, so that sums of instants cannot overflow.
const century = 100 * 365 * 24 * time.Hour

// drift is how far the clocks have moved against each other since b.
func (a anchor) drift(b anchor) time.Duration {
	return (a.wall.Sub(b.wall) - a.instant.Sub(b.instant)).Abs()
}

// timeOf is i on the wall.
func (a anchor) timeOf(i breaker.Instant) time.Time {
	return a.wall.Add(i.Sub(a.instant))
}

// timeOfEnd is the same for ends, where 0 means that there is none.
func (a anchor) timeOfEnd(i breaker.Instant) time.Time {
	if i == 0 {
		return time.Time{}
	}
	return a.timeOf(i)
}

// notBefore is the anchor with which to read what was written at that time. Time
// does not go back: where the wall clock says so it was set, and for all we know
// no time has passed. What was to last so long at the writing lasts no longer now.
func (a anchor) notBefore(written time.Time) anchor {
	if a.wall.Before(written) {
		a.wall = written
	}
	return a
}

// instantOf undoes timeOf.
func (a anchor) instantOf(t time.Time) breaker.Instant {
	d := t.Sub(a.wall)
	return a.instant.Add(min(max(d, -century), century))
}

// endOf undoes timeOfEnd.
func (a anchor) endOf(t time.Time) breaker.Instant {
	if t.IsZero() {
		return 0
	}
	if i := a.instantOf(t); i != 0 {
		return i
	}
	return -1 // 0 would say that there is no end
}

// past is the instant of what has happened, so not after now.
func (a anchor) past(t time.Time) breaker.Instant {
	return min(a.instantOf(t), a.instant)
}

// waitOf is when a wait ends that began at since: not later than if it began now.
func (a anchor) waitOf(since, until time.Time) breaker.Instant {
	end := a.endOf(until)
	if end == 0 {
		return 0
	}
	wait := end.Sub(a.instantOf(since))
	return min(end, a.instant.Add(max(wait, 0)))
}
