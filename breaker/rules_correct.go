package breaker

import (
	"slices"
	"time"
)

// Some successes are taken back: a response breaks after its headers, when its call has
// been counted already. The run of failures then has to become what it would be without
// the success. So a breaker to which this happens remembers its last successes, and the
// failures between them.

// recent is the successes that such a breaker remembers.
type recent struct {
	corrected Instant   // when the last success was taken back
	from      Instant   // every success since then is in list, or was taken back
	list      []success // in the order in which they came
}

// success is a call that succeeded, and the failures between it and the one before.
type success struct {
	at     Instant
	before failures
	grown  bool // there are more failures than when they were last judged
}

// Bounds on what is remembered: how many successes, for how long after the last one was
// taken back, and by how much the reported time of a success may be wrong.
const (
	maxRecent  = 32
	recentTime = Instant(time.Minute)
	recentSlip = Instant(time.Second)
)

// join returns a run and the next one as one.
func (f failures) join(o failures) failures {
	switch {
	case o.run == 0:
		return f
	case f.run == 0:
		return o
	default:
		joined := failures{f.run + o.run, max(f.oneIn, o.oneIn), o.exact, min(f.since, o.since)}
		if o.exact == o.run {
			joined.exact += f.exact
		}
		return joined
	}
}

// add remembers a success. It forgets the oldest if there are too many.
func (r *recent) add(s success) {
	if len(r.list) == maxRecent {
		r.from = max(r.from, r.list[0].at+1)
		r.list = slices.Delete(r.list, 0, 1)
	}
	r.list = append(r.list, s)
}

// find returns the index of the success that was reported for an instant, or -1.
func (r *recent) find(at Instant) int {
	found, nearest := -1, recentSlip+1
	if at < r.from {
		return found
	}
	for i := range r.list {
		if off := max(r.list[i].at-at, at-r.list[i].at); off < nearest {
			found, nearest = i, off
		}
	}
	return found
}

// takeBack makes the run what it would be if the success that was settled at an instant
// had been a failure. It reports whether it did: a success that is not remembered stays.
func (c *closed) takeBack(settled, now Instant) bool {
	r := c.reporting()
	if r.recent == nil {
		r.recent = &recent{corrected: now, from: now}
	}
	m := r.recent
	m.corrected = max(m.corrected, now)
	i := m.find(settled)
	if i < 0 {
		return false
	}
	s := m.list[i]
	m.list = slices.Delete(m.list, i, i+1)
	joined := s.before.join(failures{run: 1, exact: 1, since: s.at})
	if i < len(m.list) {
		next := &m.list[i]
		next.before, next.grown = joined.join(next.before), true
		return true
	}
	joined = joined.join(c.present())
	c.run, r.oneIn, r.exact, r.since = joined.run, joined.oneIn, joined.exact, joined.since
	return true
}

// settleDown forgets the successes when none has been taken back for a while, so that
// calls can do without the lock again.
func (c *closed) settleDown(now Instant) {
	if r := c.reports; r != nil && r.recent != nil && now-r.recent.corrected >= recentTime {
		r.recent = nil
	}
}

// noteJudged notes that every run has been judged as it is.
func (c *closed) noteJudged() {
	if c.reports == nil || c.reports.recent == nil {
		return
	}
	for i := range c.reports.recent.list {
		c.reports.recent.list[i].grown = false
	}
}

// correctTotalsLocked counts a call as what it was in the end, in place of what its
// permit counted.
func (b *Breaker) correctTotalsLocked(old, now ending) {
	t, l := &b.counts, &b.ownPastLocked().lag
	switch {
	case old.outcome == Success && t.successes > 0:
		t.successes--
		l.successes++
	case old.outcome != Success && t.ignored > 0:
		t.ignored--
		l.ignored++
	}
	if old.slow && old.outcome != Ignored {
		t.slow -= min(t.slow, 1)
	}
	b.addLocked(now, 1)
}

// correctLocked takes back what the permit of a call has counted, and counts the call
// as e.
func (b *Breaker) correctLocked(o *Reported, e ending, now Instant) {
	old, failed := b.endingLocked(o.Was, o.Duration), e.outcome.Failed()
	if o.Was.Failed() || o.Was == Success && !failed {
		return
	}
	at := min(o.At, now)
	b.correctTotalsLocked(old, e)
	if failed {
		b.lastFailure = max(b.lastFailure, at)
	}
	switch {
	case !b.ownLocked(o, now):
	case b.state == HalfOpen && o.Probe:
		b.past.halfOpen.takeBack(old)
		b.endedLocked(e, false, now)
	case b.state == Closed:
		b.closed.window.correct(old.call(), e.call(), o.Settled, at)
		if o.Was != Success || !b.closed.takeBack(o.Settled, now) {
			b.closed.reported(e.outcome, at, 0)
		}
	}
}
