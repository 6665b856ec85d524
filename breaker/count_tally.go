package breaker

import (
	"math"
	"slices"
)

// Tally is a part of a window: the calls that it counts in one part of time or, where it
// is count-based, calls of one kind that ended one after the other.
type Tally struct {
	At       Instant // time-based: the middle of that part of time; else 0
	Calls    uint32
	Failures uint32 // among Calls
	Slow     uint32 // among Calls
	Early    uint32 // among Slow: calls that are in flight and slow already
	Void     uint32 // count-based: places of calls that do not count after all; Calls is then 0
}

// sound returns the tally with figures that can be true. It may come from another process.
func (t Tally) sound() Tally {
	t.Failures, t.Slow = min(t.Failures, t.Calls), min(t.Slow, t.Calls)
	t.Early = min(t.Early, t.Slow, t.Calls-t.Failures)
	return t
}

// tallies returns what the window counts, the oldest calls first.
func (w *window) tallies() []Tally {
	if w.ring != nil {
		return w.ring.tallies()
	}
	return w.times.tallies()
}

// prepend adds calls that another window has counted. They ended before the calls in this
// window. A time-based window counts them at their own time, if it still has that time.
func (w *window) prepend(earlier []Tally) {
	if w.ring == nil {
		for _, t := range earlier {
			w.times.addTally(w, t.sound())
		}
		return
	}
	if len(earlier) == 0 {
		return
	}
	all := slices.Concat(earlier, w.ring.tallies())
	*w = window{ring: newRing(uint32(len(w.ring.entries)))}
	for _, t := range all {
		w.ring.add(w, t.entry(), max(t.Calls, t.Void))
	}
}

func (t *buckets) tallies() (all []Tally) {
	for n := t.newest - windowBuckets + 1; n <= t.newest; n++ {
		b, early := &t.sums[place(n)], uint32(0)
		if t.earlys != nil {
			early = t.earlys[place(n)]
		}
		if b.calls > 0 {
			all = append(all, Tally{At: Instant(n)*t.width + t.width/2, Calls: b.calls, Failures: b.failures, Slow: b.slow, Early: early})
		}
	}
	return all
}

func (t *buckets) addTally(w *window, more Tally) {
	number := t.number(more.At)
	if !t.hold(number) || more.Calls > math.MaxUint32-w.sum.calls {
		return
	}
	b := &t.sums[place(number)]
	for _, s := range [...]*sums{b, &w.sum} {
		s.calls, s.failures, s.slow = s.calls+more.Calls, s.failures+more.Failures, s.slow+more.Slow
	}
	if more.Early > 0 && t.earlys == nil {
		t.earlys = new([windowBuckets]uint32)
	}
	if more.Early > 0 {
		t.earlys[place(number)] += more.Early
		w.earlys += more.Early
	}
}

// tallies leaves out the places that were never filled, which are the oldest.
func (r *ring) tallies() (all []Tally) {
	var last entry
	for i := range r.entries {
		e := r.entries[(r.next+i)%len(r.entries)]
		if e == 0 && len(all) == 0 {
			continue
		}
		if e != last || len(all) == 0 {
			all = append(all, Tally{})
		}
		last = e
		all[len(all)-1].count(e)
	}
	return all
}

// count adds one place of a count-based window, which has calls of one kind.
func (t *Tally) count(e entry) {
	if e == 0 {
		t.Void++
		return
	}
	t.Calls++
	if e&failedEntry != 0 {
		t.Failures++
	}
	if e&slowEntry != 0 {
		t.Slow++
	}
	if e&earlyEntry != 0 {
		t.Early++
	}
}

// entry returns the kind of the places of a tally from a count-based window.
func (t Tally) entry() entry {
	switch {
	case t.Calls == 0:
		return 0
	case t.Early > 0:
		return call{slow: true}.entry() | earlyEntry
	default:
		return call{failed: t.Failures > 0, slow: t.Slow > 0}.entry()
	}
}
