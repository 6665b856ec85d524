package breaker

import "math"

// call is what a window remembers of one call.
type call struct{ failed, slow bool }

// window is the calls of the last while, time-based or count-based.
//
// A call in flight that has passed the threshold of slow calls is in it as an early
// one: counted as slow and not failed until it ends, and then as what it was. Early
// calls are all alike, so the oldest stands for whichever ends.
type window struct {
	sum    sums
	earlys uint32     // of the calls in sum
	times  timeWindow // when ring is nil
	ring   *ring
}

func (w *window) enter(cfg *Config, now Instant) {
	w.sum, w.earlys = sums{}, 0
	if cfg.WindowSize > 0 {
		w.ring = newRing(cfg.WindowSize)
		return
	}
	w.ring = nil
	w.times = timeWindow{width: Instant(cfg.WindowDuration / windowBuckets)}
	w.times.newest = int64(now / w.times.width)
}

// advance forgets what has left the window by now. An instant before the newest
// bucket changes nothing: its calls are counted in the newest.
func (w *window) advance(now Instant) {
	if w.ring == nil && now >= w.times.end() {
		w.times.advance(w, int64(now/w.times.width))
	}
}

// end is the instant from which advance has something to do.
func (w *window) end() Instant {
	if w.ring != nil {
		return never
	}
	return w.times.end()
}

// successes adds n that were not slow.
func (w *window) successes(n uint32) { w.add(call{}, n) }

// add adds n calls of one kind that ended just now.
func (w *window) add(c call, n uint32) {
	if w.ring != nil {
		w.ring.add(w, c.entry(), n)
		return
	}
	w.times.add(w, c, n, w.times.newest)
}

// addAt adds calls that ended at an instant which may be long ago. They count if
// they are in the window still; in a count-based one calls count as they come.
func (w *window) addAt(c call, n uint32, at Instant) {
	if w.ring != nil {
		w.add(c, n)
		return
	}
	number := min(int64(at/w.times.width), w.times.newest)
	if number >= 0 && w.times.newest-number < windowBuckets {
		w.times.add(w, c, n, number)
	}
}

// correct takes out a call that ended at settled without having failed, if there is one
// in that part of the window, and adds what it was in the end, at the time of that. In a
// count-based window, which knows no times, the youngest such call becomes it, where it stands.
func (w *window) correct(old, now ending, settled, at Instant) {
	switch {
	case w.ring != nil:
		w.ring.correct(w, old, now)
		return
	case old.outcome != Ignored:
		w.times.takeBack(w, old.slow, settled)
	}
	if now.outcome != Ignored {
		w.addAt(now.call(), 1, at)
	}
}

// early adds n calls in flight that became slow just now.
func (w *window) early(n uint32) {
	if w.ring != nil {
		w.ring.add(w, call{slow: true}.entry()|earlyEntry, n)
		return
	}
	w.times.early(w, n)
}

// settle makes of the oldest early call what it was in the end; nil: it does not
// count. Where there is none in the window any more, the call is added.
func (w *window) settle(c *call) {
	switch {
	case w.earlys > 0 && w.ring != nil:
		w.ring.settle(w, c)
		return
	case w.earlys > 0:
		w.times.withdraw(w)
	}
	if c != nil {
		w.add(*c, 1)
	}
}

// room is how many more calls can be counted: of a window of hours in a busy mesh,
// those beyond four billion are left out.
func (w *window) room(n uint32) uint32 { return min(n, math.MaxUint32-w.sum.calls) }

// sums are calls of a window, or of a part of it.
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

// windowBuckets is how many parts a time-based window has. More parts make it
// forget more smoothly, and larger.
const windowBuckets = 10

// timeWindow counts calls in a ring of buckets.
type timeWindow struct {
	width   Instant // of one bucket
	newest  int64   // the number of the newest bucket: instant / width
	buckets [windowBuckets]sums
	earlys  *[windowBuckets]uint32 // by bucket; nil before the first
}

func (t *timeWindow) end() Instant { return Instant(t.newest+1) * t.width }

func (t *timeWindow) add(w *window, c call, n uint32, number int64) {
	n = w.room(n)
	t.buckets[number%windowBuckets].add(c, n)
	w.sum.add(c, n)
}

func (t *timeWindow) advance(w *window, current int64) {
	for n := max(t.newest+1, current-windowBuckets+1); n <= current; n++ {
		b := &t.buckets[n%windowBuckets]
		w.sum.sub(*b)
		*b = sums{}
		if t.earlys != nil {
			w.earlys -= t.earlys[n%windowBuckets]
			t.earlys[n%windowBuckets] = 0
		}
	}
	t.newest = current
}

func (t *timeWindow) early(w *window, n uint32) {
	n = w.room(n)
	if t.earlys == nil {
		t.earlys = new([windowBuckets]uint32)
	}
	t.earlys[t.newest%windowBuckets] += n
	w.earlys += n
	t.add(w, call{slow: true}, n, t.newest)
}

// withdraw takes the oldest early call out.
func (t *timeWindow) withdraw(w *window) {
	for n := t.newest + 1; ; n++ {
		i := n % windowBuckets
		if t.earlys[i] == 0 {
			continue
		}
		t.earlys[i]--
		w.earlys--
		t.buckets[i].sub(sums{calls: 1, slow: 1})
		w.sum.sub(sums{calls: 1, slow: 1})
		return
	}
}

// takeBack takes out of the bucket of an instant a call that did not fail, if that can
// be one of its calls. The early ones are not meant.
func (t *timeWindow) takeBack(w *window, slow bool, at Instant) {
	number := min(int64(at/t.width), t.newest)
	if number < 0 || t.newest-number >= windowBuckets {
		return
	}
	b, early, gone := &t.buckets[number%windowBuckets], uint32(0), sums{calls: 1}
	if t.earlys != nil {
		early = t.earlys[number%windowBuckets]
	}
	found := b.calls-b.failures > early
	if slow {
		found, gone.slow = found && b.slow > early, 1
	} else {
		found = found && b.calls > b.slow
	}
	if found {
		b.sub(gone)
		w.sum.sub(gone)
	}
}
