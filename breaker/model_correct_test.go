package breaker

import (
	"math"
	"slices"
	"time"
)

// correct replaces an outcome that was counted.
func (m *model) correct(o Reported, own bool, now Instant) {
	failed, slow := o.Outcome.Failed(), m.slow(o.Duration)
	if o.Was.Failed() || o.Was == Success && !failed {
		return
	}
	old := event{slow: slow, success: o.Was == Success, taken: true, void: o.Was == Ignored || o.Was == Abandoned && !slow}
	e := event{failed: failed, slow: slow, success: o.Outcome == Success, void: o.Outcome == Ignored || o.Outcome == Abandoned && !slow}
	if o.Was == Success {
		m.counts.Successes = max(m.counts.Successes, 1) - 1
	} else {
		m.counts.Ignored = max(m.counts.Ignored, 1) - 1
	}
	if slow && !old.void {
		m.counts.Slow = max(m.counts.Slow, 1) - 1
	}
	m.count(o.Outcome, slow, 1, min(o.At, now))
	switch {
	case !own:
	case m.state == HalfOpen && o.Probe:
		m.correctProbe(old, e, now)
	case m.state == Closed:
		m.correctWindow(old, e, o.Settled, min(o.At, now))
		if o.Was != Success || !m.takeBack(o.Settled, now) {
			m.addReport(o.Outcome, failure{at: min(o.At, now)})
		}
	}
}

func (m *model) correctProbe(old, e event, now Instant) {
	w, successes := m.probed()
	has := w.Calls > successes
	if old.success {
		has = successes > 0
	}
	if has && !old.void {
		old.slow = old.slow && w.Slow > 0
		m.judged = append(m.judged, old)
	}
	if !e.void {
		m.judged = append(m.judged, e)
		m.judgeProbes(now)
	}
}

// correctWindow takes an event like old out of the window, if there can be one.
func (m *model) correctWindow(old, e event, settled, at Instant) {
	e.at = at
	if m.spec.Config.WindowSize > 0 {
		for _, place := range slices.Backward(m.inWindow()) {
			if !old.void && !place.void && !place.early && !place.failed && place.slow == old.slow {
				e.at = place.at
				*place = e
				return
			}
		}
	} else if width := Instant(m.spec.Config.WindowDuration / 10); !old.void {
		old.at = min(settled, m.latest)
		var same []*event
		early := uint64(0)
		for _, x := range m.inWindow() {
			if partOf(x.at, width) == partOf(old.at, width) {
				same = append(same, x)
				if x.early && !x.void {
					early++
				}
			}
		}
		var w WindowCounts
		w.count(same)
		if w.Calls-w.Failures > early && (old.slow && w.Slow > early || !old.slow && w.Calls > w.Slow) {
			m.past = append(m.past, old)
		}
	}
	if !e.void {
		m.past = append(m.past, e)
	}
}

// takeBack turns the success that was nearest to an instant into a failure.
func (m *model) takeBack(settled, now Instant) bool {
	m.beginReports()
	if m.recent == nil {
		m.recent = &pieces{corrected: math.MinInt64, from: now}
	}
	p := m.recent
	p.corrected = max(p.corrected, now)
	found := -1
	off := func(i int) time.Duration { return max(p.list[i].at.Sub(settled), settled.Sub(p.list[i].at)) }
	for i := range p.list {
		if settled >= p.from && off(i) <= time.Second && (found < 0 || off(i) < off(found)) {
			found = i
		}
	}
	if found < 0 {
		return false
	}
	before := append(slices.Clone(p.list[found].run), failure{at: p.list[found].at})
	p.list = slices.Delete(p.list, found, found+1)
	if found == len(p.list) {
		m.run = append(before, m.run...)
		return true
	}
	next := &p.list[found]
	next.run, next.merged = append(before, next.run...), true
	return true
}
