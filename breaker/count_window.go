package breaker

import "math"

// call is a call as a window remembers it.
type call struct{ failed, slow bool }

// window counts the calls of the last while. It is time-based, or count-based where ring
// is not nil.
//
// A call in flight that has passed the threshold of slow calls is in the window as an
// early call: slow, and not failed. When it ends it becomes what it was. Early calls
// are all alike, so the oldest of them stands for whichever ends.
type window struct {
	sum    sums
	earlys uint32 // among the calls in sum
	times  buckets
	ring   *ring
}

func (w *window) enter(cfg *Config, now Instant) {
	w.sum, w.earlys = sums{}, 0
	if cfg.WindowSize > 0 {
		w.ring = newRing(cfg.WindowSize)
		return
	}
	w.ring = nil
	w.times = buckets{width: Instant(cfg.WindowDuration / windowBuckets)}
	w.times.newest = int64(now / w.times.width)
}

// advance forgets the calls that have left the window by now. An instant before the
// newest bucket changes nothing: calls of that time are counted in the newest.
func (w *window) advance(now Instant) {
	if w.ring == nil && now >= w.times.end() {
		w.times.advance(w, int64(now/w.times.width))
	}
}

// end returns the instant from which advance has something to do.
func (w *window) end() Instant {
	if w.ring != nil {
		return never
	}
	return w.times.end()
}

// successes adds n successes that were not slow.
func (w *window) successes(n uint32) { w.add(call{}, n) }

// add adds n calls of one kind that ended just now.
func (w *window) add(c call, n uint32) {
	if w.ring != nil {
		w.ring.add(w, c.entry(), n)
		return
	}
	w.times.add(w, c, n, w.times.newest)
}

// addAt adds calls that ended at an instant which may be long ago. They count if that
// instant is still in the window. A count-based window counts calls as they come.
func (w *window) addAt(c call, n uint32, at Instant) {
	if w.ring != nil {
		w.add(c, n)
		return
	}
	if number := w.times.number(at); w.times.hold(number) {
		w.times.add(w, c, n, number)
	}
}

// correct takes out a call that did not fail and ended at settled, if there is one in
// that part of the window. It adds the call as what it was in the end, at the time at which
// that became known. Either is nil where the call does not count. A count-based window
// knows no times: the youngest call that is like the old one becomes the new one, in
// its place.
func (w *window) correct(old, now *call, settled, at Instant) {
	if w.ring != nil {
		w.ring.correct(w, old, now)
		return
	}
	if old != nil {
		w.times.takeBack(w, old.slow, settled)
	}
	if now != nil {
		w.addAt(*now, 1, at)
	}
}

// justNow is the instant of a change that happens while the window counts it.
const justNow = never

// early adds n calls in flight that became slow at an instant; see [window.addAt].
func (w *window) early(n uint32, at Instant) {
	if w.ring != nil {
		w.ring.add(w, call{slow: true}.entry()|earlyEntry, n)
		return
	}
	if number := w.times.number(at); w.times.hold(number) {
		w.times.early(w, n, number)
	}
}

// settle makes the oldest early call what it was in the end, which came at an instant; nil:
// it does not count. Where the window no longer has an early call, the call is added.
func (w *window) settle(c *call, at Instant) {
	switch {
	case w.earlys > 0 && w.ring != nil:
		w.ring.settle(w, c)
		return
	case w.earlys > 0:
		w.times.withdraw(w)
	}
	if c != nil {
		w.addAt(*c, 1, at)
	}
}

// room returns how many of n calls can be counted. A window of hours in a busy mesh
// leaves out the calls beyond four billion.
func (w *window) room(n uint32) uint32 { return min(n, math.MaxUint32-w.sum.calls) }

// sums are counts of calls in a window, or in a part of it.
type sums struct{ calls, failures, slow uint32 }

func (s *sums) add(c call, n uint32) {
	s.calls += n
	if c.failed {
		s.failures += n
	}
	if c.slow {
		s.slow += n
	}
}

func (s *sums) sub(o sums) {
	s.calls -= o.calls
	s.failures -= o.failures
	s.slow -= o.slow
}
