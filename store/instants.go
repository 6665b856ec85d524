package store

import (
	"time"

	"breakwater.dev/breaker"
)

// Clock reads two clocks at the same moment: the engine's clock, which begins with the process, and the wall clock, which
// outlives it. It is called for each file that is saved or loaded, and not once at the start, because the wall clock may be set meanwhile.
type Clock func() (breaker.Instant, time.Time)

// anchor is a moment on both clocks. With it, a time of one clock can be converted into a time of the other one.
type anchor struct {
	instant breaker.Instant
	wall    time.Time
}

// anchor reads both clocks.
func (c Clock) anchor() anchor {
	i, w := c()
	return anchor{i, w.Round(0).UTC()} // Round removes the monotonic reading, which Sub would use
}

// century is the largest distance of a time from now that is read from a file, so that sums of instants cannot overflow.
const century = 100 * 365 * 24 * time.Hour

// drift returns how far the two clocks have moved apart since b.
func (a anchor) drift(b anchor) time.Duration {
	return (a.wall.Sub(b.wall) - a.instant.Sub(b.instant)).Abs()
}

// timeOf returns the time of the wall clock at i.
func (a anchor) timeOf(i breaker.Instant) time.Time {
	return a.wall.Add(i.Sub(a.instant))
}

// timeOfEnd is like timeOf, for the end of a wait; 0: there is no end.
func (a anchor) timeOfEnd(i breaker.Instant) time.Time {
	if i == 0 {
		return time.Time{}
	}
	return a.timeOf(i)
}

// notBefore returns the anchor for a file that was written at a given time. If the wall clock is before that time now, it was
// set back. Then the anchor takes it that no time has passed, so that a wait in the file does not get longer.
func (a anchor) notBefore(written time.Time) anchor {
	if a.wall.Before(written) {
		a.wall = written
	}
	return a
}

// instantOf is the inverse of timeOf.
func (a anchor) instantOf(t time.Time) breaker.Instant {
	d := t.Sub(a.wall)
	return a.instant.Add(min(max(d, -century), century))
}

// endOf is the inverse of timeOfEnd.
func (a anchor) endOf(t time.Time) breaker.Instant {
	if t.IsZero() {
		return 0
	}
	if i := a.instantOf(t); i != 0 {
		return i
	}
	return -1 // 0 would mean that there is no end
}

// past returns the instant of a past event, which is at most now.
func (a anchor) past(t time.Time) breaker.Instant {
	return min(a.instantOf(t), a.instant)
}

// waitOf returns the end of a wait that began at since. It is at most the end that the same wait would have if it began now.
func (a anchor) waitOf(since, until time.Time) breaker.Instant {
	end := a.endOf(until)
	if end == 0 {
		return 0
	}
	wait := end.Sub(a.instantOf(since))
	return min(end, a.instant.Add(max(wait, 0)))
}
