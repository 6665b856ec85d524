package sampling

import (
	"time"

	"breakwater.dev/breaker"
)

// Home reports whether this replica gives a proxy its layers, and so decides how densely the proxy logs. The zero value does not know.
type Home struct {
	absences int
	missed   bool // since it is elsewhere, an entry could not be counted in full
}

const (
	// absent is how many times in a row the proxy must be missing to count as one whose layers come from elsewhere.
	absent = 2
	// briefest is how long a stream lasts at least, so that a proxy that gets its layers from no replica does not begin streams
	// all the time.
	briefest = time.Second
)

// Learn notes whether the proxy gets its layers from here now. It reports true when the proxy has just been found to get them from
// elsewhere.
func (h *Home) Learn(here bool) (lost bool) {
	if here {
		*h = Home{}
		return false
	}
	h.absences++
	return h.absences == absent
}

// Misses notes that an entry of the proxy's log cannot be counted in full, if that is so.
func (h *Home) Misses(so bool) bool {
	h.missed = h.missed || so
	return so
}

// Astray reports whether the proxy's log, by a stream that began at an instant, should go to another replica, which can count it in
// full.
func (h *Home) Astray(began, now breaker.Instant) bool {
	return h.missed && h.absences >= absent && now.Sub(began) >= briefest
}
