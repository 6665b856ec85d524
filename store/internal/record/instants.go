package record

import (
	"time"

	"breakwater.dev/breaker"
)

// Clock reads two clocks at the same moment: the engine's clock, which begins with the process, and the wall clock, which
// outlives it. It is called each time that states are saved or loaded, and not once at the start, because the wall clock may be set meanwhile.
type Clock func() (breaker.Instant, time.Time)

// Anchor is a moment on both clocks. With it, a time of one clock can be converted into a time of the other one.
type Anchor struct {
	Instant breaker.Instant
	Wall    time.Time
}

// Anchor reads both clocks.
func (c Clock) Anchor() Anchor {
	i, w := c()
	return Anchor{i, w.Round(0).UTC()} // Round removes the monotonic reading, which Sub would use
}

// century is the largest distance of a time from now that is read, so that sums of instants cannot overflow.
const century = 100 * 365 * 24 * time.Hour

// Drift returns how far the two clocks have moved apart since b.
func (a Anchor) Drift(b Anchor) time.Duration {
	return (a.Wall.Sub(b.Wall) - a.Instant.Sub(b.Instant)).Abs()
}

// At returns the moment when the engine's clock has i, if the clocks do not drift.
func (a Anchor) At(i breaker.Instant) Anchor { return Anchor{i, a.timeOf(i)} }

// timeOf returns the time of the wall clock at i.
func (a Anchor) timeOf(i breaker.Instant) time.Time {
	return a.Wall.Add(i.Sub(a.Instant))
}

// timeOfEnd is like timeOf, for the end of a wait; 0: there is no end.
func (a Anchor) timeOfEnd(i breaker.Instant) time.Time {
	if i == 0 {
		return time.Time{}
	}
	return a.timeOf(i)
}

// NotBefore returns the anchor for what was written at a given time by the same wall clock. If the wall clock is before that time now, it was
// set back. Then the anchor takes it that no time has passed, so that a wait does not get longer.
func (a Anchor) NotBefore(written time.Time) Anchor {
	if a.Wall.Before(written) {
		a.Wall = written
	}
	return a
}

// instantOf is the inverse of timeOf.
func (a Anchor) instantOf(t time.Time) breaker.Instant {
	d := t.Sub(a.Wall)
	return a.Instant.Add(min(max(d, -century), century))
}

// endOf is the inverse of timeOfEnd.
func (a Anchor) endOf(t time.Time) breaker.Instant {
	if t.IsZero() {
		return 0
	}
	if i := a.instantOf(t); i != 0 {
		return i
	}
	return -1 // 0 would mean that there is no end
}

// past returns the instant of a past event, which is at most now.
func (a Anchor) past(t time.Time) breaker.Instant {
	return min(a.instantOf(t), a.Instant)
}

// waitOf returns the end of a wait that began at since. It is at most the end that the same wait would have if it began now.
func (a Anchor) waitOf(since, until time.Time) breaker.Instant {
	end := a.endOf(until)
	if end == 0 {
		return 0
	}
	wait := end.Sub(a.instantOf(since))
	return min(end, a.Instant.Add(max(wait, 0)))
}
