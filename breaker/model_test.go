package breaker

import "slices"

// model is a breaker that is plainly right and slow: it remembers every outcome,
// and counts when it is asked.
type model struct {
	spec        Spec
	retired     bool
	state       State
	generation  uint64
	sequence    uint64
	since       Instant
	latest      Instant // the latest instant that the closed state has heard of
	past        []event // closed: all outcomes since it began
	until       Instant // open, half-open: when time ends it
	probes      []probe // half-open: all that were admitted
	judged      []event // half-open: outcomes of probes that still held their lease
	counts      Counts
	lastFailure Instant
	heard       []Transition
}

type event struct {
	at     Instant
	failed bool
}

type probe struct {
	deadline Instant
	over     bool
}

// ticket is the model's permit.
type ticket struct {
	model      *model
	generation uint64
	probe      int // index into probes, for a probe
	used       bool
}

func newModel(s Spec, now Instant) *model {
	return &model{spec: s, generation: 1, since: now, latest: now}
}

// window counts the outcomes whose bucket is among the last ten.
func (m *model) window() WindowCounts {
	var w WindowCounts
	events := m.judged
	if m.state == Closed {
		width := Instant(m.spec.Config.WindowDuration / 10)
		events = slices.DeleteFunc(slices.Clone(m.past), func(e event) bool { return e.at/width+10 <= m.latest/width })
	}
	for _, e := range events {
		w.Calls++
		if e.failed {
			w.Failures++
		}
	}
	run := m.past
	if m.state == HalfOpen {
		run = m.judged
	}
	for i := len(run) - 1; i >= 0 && run[i].failed; i-- {
		w.Run++
	}
	if m.state == Open {
		return WindowCounts{}
	}
	return w
}

func (m *model) move(to State, why Reason, now Instant) {
	cfg := m.spec.Config
	tr := Transition{
		Key: m.spec.Key, Edge: Edge{m.state, to, why}, Sequence: m.sequence + 1, Generation: m.generation + 1,
		At: now, Since: m.since, Window: m.window(),
	}
	m.state, m.since, m.latest = to, now, now
	m.past, m.probes, m.judged = nil, nil, nil
	m.generation++
	m.sequence++
	switch to {
	case Open:
		tr.Wait = cfg.WaitDurationInOpenState
		m.until = now.Add(tr.Wait)
	case HalfOpen:
		m.until = now.Add(cfg.MaxWaitDurationInHalfOpenState)
	}
	if !m.retired {
		m.heard = append(m.heard, tr)
	}
}

// advance does what time alone does.
func (m *model) advance(now Instant) {
	switch m.state {
	case Closed:
		m.latest = max(m.latest, now)
	case Open:
		if now >= m.until {
			m.move(HalfOpen, WaitOver, now)
		}
	case HalfOpen:
		for i := range m.probes {
			if p := &m.probes[i]; !p.over && now >= p.deadline {
				p.over = true
				m.counts.LeasesExpired++
			}
		}
		if now >= m.until {
			m.move(Open, HalfOpenExpired, now)
		}
	}
}

func (m *model) inFlight() uint32 {
	n := uint32(0)
	for _, p := range m.probes {
		if !p.over {
			n++
		}
	}
	return n
}

func (m *model) acquire(now Instant) (*ticket, Decision) {
	m.advance(now)
	m.counts.Requests++
	d := Decision{State: m.state, Admitted: true}
	switch m.state {
	case Open:
		d.Admitted, d.RetryAfter = false, m.until.Sub(now)
	case HalfOpen:
		d.Admitted = m.inFlight() < m.spec.Config.PermittedNumberOfCallsInHalfOpenState
	}
	if !d.Admitted {
		m.counts.Rejected++
		return nil, d
	}
	t := &ticket{model: m, generation: m.generation, probe: len(m.probes)}
	if m.state == HalfOpen {
		m.probes = append(m.probes, probe{deadline: now.Add(m.spec.Lease)})
	}
	return t, d
}

func (t *ticket) done(o Outcome, now Instant) {
	if t.used {
		return
	}
	t.used = true
	m := t.model
	m.advance(now)
	switch o {
	case Success:
		m.counts.Successes++
	case Failure, Timeout:
		m.counts.Failures++
		m.lastFailure = now
		if o == Timeout {
			m.counts.Timeouts++
		}
	case Ignored:
		m.counts.Ignored++
	}
	if t.generation != m.generation {
		return
	}
	failed := o == Failure || o == Timeout
	if m.state == HalfOpen {
		m.judge(&m.probes[t.probe], o, now)
		return
	}
	if o == Ignored {
		return
	}
	m.past = append(m.past, event{m.latest, failed})
	cfg, w := m.spec.Config, m.window()
	switch {
	case cfg.ConsecutiveFailures > 0 && w.Run >= cfg.ConsecutiveFailures:
		m.move(Open, ConsecutiveFailures, now)
	case cfg.FailureRateThreshold > 0 && w.Calls >= uint64(cfg.MinimumNumberOfCalls) &&
		10_000*w.Failures >= uint64(cfg.FailureRateThreshold)*w.Calls:
		m.move(Open, FailureRate, now)
	}
}

// judge takes the outcome of a probe of this half-open phase.
func (m *model) judge(p *probe, o Outcome, now Instant) {
	if p.over {
		return
	}
	p.over = true
	if o == Ignored {
		return
	}
	m.judged = append(m.judged, event{now, o != Success})
	switch w := m.window(); {
	case w.Failures > 0:
		m.move(Open, ProbeFailed, now)
	case w.Calls >= uint64(m.spec.Config.SuccessThreshold):
		m.move(Closed, ProbesSucceeded, now)
	}
}

// configure tells whether the breaker restarted.
func (m *model) configure(s Spec, now Instant) bool {
	now = max(now, m.since)
	m.advance(now)
	same := m.spec.Config == s.Config
	m.spec = s
	if same {
		return false
	}
	if m.state != Closed {
		m.move(Closed, PolicyChanged, now)
		return true
	}
	m.generation++
	m.since, m.latest, m.past = now, now, nil
	return true
}

func (m *model) status(now Instant) Status {
	m.advance(now)
	s := Status{
		Key: m.spec.Key, Config: m.spec.Config, State: m.state, Generation: m.generation, Since: m.since,
		ProbesInFlight: m.inFlight(), Window: m.window(), Counts: m.counts, LastFailure: m.lastFailure,
	}
	if m.state == Open {
		s.RetryAfter = m.until.Sub(now)
	}
	return s
}

// due is how long until time alone changes the state; false when it does not.
func (m *model) due() (Instant, bool) { return m.until, m.state != Closed }
