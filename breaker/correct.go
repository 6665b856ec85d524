package breaker

import (
	"slices"
	"time"
)

// Some successes are taken back: a response breaks after its headers, when its call has
// been counted already. The run of failures then has to be what it would be if there had
// been no success, so a breaker to which this happens remembers its last successes, and
// the failures between them.

// recent is what such a breaker remembers.
type recent struct {
	corrected Instant   // when the last success was taken back
	from      Instant   // what succeeded since then is in list, or was taken back
	list      []success // in the order in which they came
}

// success is a call that succeeded, and the failures between it and the one before.
type success struct {
	at     Instant
	before failures
	merged bool // the failures are more than they were when they were last judged
}

// failures are failures in a row.
type failures struct {
	run   uint32
	oneIn uint32  // as in reports
	since Instant // when the first of them was
}

// Bounds on what is remembered: how many successes, for how long after the last one that
// was taken back, and how far what is said of the time of one may be off.
const (
	maxRecent  = 32
	recentTime = Instant(time.Minute)
	recentSlip = Instant(time.Second)
)

// join returns both runs as one.
func (f failures) join(o failures) failures {
	switch {
	case o.run == 0:
		return f
	case f.run == 0:
		return o
	default:
		return failures{f.run + o.run, max(f.oneIn, o.oneIn), min(f.since, o.since)}
	}
}

// present is the run that goes on.
func (c *closed) present() failures {
	f := failures{run: c.run}
	if c.reports != nil && c.run > 0 {
		f.oneIn, f.since = c.reports.oneIn, c.reports.since
	}
	return f
}

// add remembers a success. It forgets the oldest if there are too many.
func (r *recent) add(s success) {
	if len(r.list) == maxRecent {
		r.from = max(r.from, r.list[0].at+1)
		r.list = slices.Delete(r.list, 0, 1)
	}
	r.list = append(r.list, s)
}

// find returns the place in the list of the success that is said to have been at an
// instant, or -1.
func (r *recent) find(at Instant) int {
	place, nearest := -1, recentSlip+1
	if at < r.from {
		return place
	}
	for i := range r.list {
		if off := max(r.list[i].at-at, at-r.list[i].at); off < nearest {
			place, nearest = i, off
		}
	}
	return place
}

// takeBack makes the run what it would be if the success that was settled at an instant
// had been a failure. It reports whether it has: a success that is not remembered stays.
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
	joined := s.before.join(failures{run: 1, since: s.at})
	if i < len(m.list) {
		next := &m.list[i]
		next.before, next.merged = joined.join(next.before), true
		return true
	}
	joined = joined.join(c.present())
	c.run, r.oneIn, r.since = joined.run, joined.oneIn, joined.since
	return true
}

// settleDown forgets the successes when none has been taken back for a while, so that
// calls need no lock any more.
func (c *closed) settleDown(now Instant) {
	if r := c.reports; r != nil && r.recent != nil && now-r.recent.corrected >= recentTime {
		r.recent = nil
	}
}

// tripping returns the length of a run that is long enough to trip the breaker, or 0. It
// is the run that goes on, or an earlier one that grew when a success in it was taken back.
func (c *closed) tripping(cfg *Config) uint32 {
	long := func(f failures) bool {
		return cfg.ConsecutiveFailures > 0 && f.run >= cfg.ConsecutiveFailures && c.unbroken(cfg, f)
	}
	if f := c.present(); long(f) {
		return f.run
	}
	if c.reports == nil || c.reports.recent == nil {
		return 0
	}
	for i := range c.reports.recent.list {
		if s := &c.reports.recent.list[i]; s.merged && long(s.before) {
			return s.before.run
		}
	}
	return 0
}

// judged notes that all runs have been judged. An earlier one is judged once, so that it
// cannot trip the breaker long after it ended.
func (c *closed) judged() {
	if c.reports == nil || c.reports.recent == nil {
		return
	}
	for i := range c.reports.recent.list {
		c.reports.recent.list[i].merged = false
	}
}
