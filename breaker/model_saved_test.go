package breaker

import (
	"maps"
	"time"
)

// frozen returns the model as it is saved at now; nil if there is nothing to save.
func (m *model) frozen(now Instant) *model {
	m.advance(now)
	if m.state == Closed && m.remembered(now) == 0 && m.override == nil {
		return nil
	}
	copied := *m
	return &copied
}

// last returns the model as it is saved when no more calls ask.
func (m *model) last(now Instant) *model {
	f := m.frozen(now)
	if f != nil && f.state == HalfOpen {
		f.state, f.since, f.until = Open, now, now
		for _, p := range m.probes {
			f.until = max(f.until, p.deadline)
		}
	}
	return f
}

// ends returns when the saved state has ended.
func (m *model) ends() Instant {
	switch {
	case m.override != nil:
		return m.override.Until
	case m.state == Closed, !m.timed():
		return 0
	default:
		return m.until
	}
}

// takeUp makes a new breaker go on from what was saved, and reports whether it does.
func (m *model) takeUp(saved *model, earliest, now Instant) bool {
	o := saved.override
	if o != nil && o.Until <= now {
		o = nil
	}
	if o != nil && o.State == Open {
		longer := *o
		longer.Until, o = max(longer.Until, earliest), &longer
	}
	cfg := m.spec.Config
	same := cfg == saved.spec.Config
	if !same && o == nil {
		return false
	}
	m.sequence, m.generation = max(m.sequence, saved.sequence), max(m.generation, saved.generation)
	m.override = o
	if saved.cause != nil || saved.trip != nil {
		m.cause, m.trip = saved.cause, saved.trip
	}
	if same {
		m.openings = saved.openings
	}
	forceEnded, to := saved.override != nil && o == nil, saved.state
	switch {
	case cfg.Mode == ForcedOpen:
		to = Open
	case forceEnded && (saved.override.State == Closed || cfg.Mode == Disabled):
		to = Closed
	case forceEnded, saved.state == HalfOpen:
		to = Open
	}
	switch {
	case o != nil:
		m.moveBy(Transition{Edge: Edge{m.state, o.State, Restored}, By: o.By, Note: o.Note, Until: o.Until}, now)
	case to != m.state:
		m.move(to, Restored, now)
	}
	if m.state == saved.state {
		m.since = min(saved.since, now)
	}
	if m.state == Open && m.timed() {
		until := min(saved.until, now.Add(2*max(cfg.BackoffMax, cfg.WaitDurationInOpenState)))
		switch {
		case forceEnded:
			until = now
		case saved.state == HalfOpen: // probes may be in flight
			until = now.Add(saved.spec.Lease)
		}
		m.until = max(until, earliest)
	}
	m.advance(now)
	return true
}

// keep remembers a breaker that is removed.
func (w *world) keep(m *model, now Instant, ch *Changes) {
	f := m.frozen(now)
	if f == nil {
		return
	}
	w.forget(now)
	if f.ends() <= now {
		return
	}
	w.kept[m.spec.Key] = f
	ch.Kept = append(ch.Kept, Saved{Key: m.spec.Key})
}

// forget drops, for good, the breakers whose remembered state has ended: a call may come with
// an earlier time.
func (w *world) forget(now Instant) {
	maps.DeleteFunc(w.kept, func(_ Key, f *model) bool { return f.ends() <= now })
}

// addedAgain makes a breaker that is added go on from what is remembered of it.
func (w *world) addedAgain(m *model, now Instant, ch *Changes) {
	key := m.spec.Key
	switch f := w.kept[key]; {
	case f == nil || f.ends() <= now:
	case m.takeUp(f, now, now):
		ch.Restored = append(ch.Restored, key)
	default:
		ch.Forgotten = append(ch.Forgotten, key)
	}
	delete(w.kept, key)
}

// pauses are times for which breakers may have to wait in a new process.
var pauses = []time.Duration{0, 0, time.Millisecond, time.Second}
