package breaker

import (
	"math"
	"slices"
	"time"
)

// model is a breaker that is plainly right, and slow: it remembers every outcome, and counts
// when it is asked. Outcomes and calls in flight are lists; it stores no figure that can be
// counted.
type model struct {
	spec        Spec
	retired     bool
	state       State
	generation  uint64
	sequence    uint64
	since       Instant
	latest      Instant // the latest instant that the closed state has seen
	past        []event // closed: all outcomes since it began, and calls in flight that are slow
	run         []failure
	reported    bool      // closed: outcomes were reported
	broken      Instant   // closed: when the last reported success was
	recent      *pieces   // closed: from the first success that was taken back
	flying      []*ticket // closed: calls in flight
	until       Instant   // open, half-open: when time ends the state
	probes      []*ticket // half-open: the probes that hold their slot
	judged      []event   // half-open: outcomes of probes that still held their lease
	lost        int       // half-open: probes whose lease ran out
	resume      Instant   // half-open: when a probe may be admitted again
	openings    uint32
	rampEnd     Instant // 0: no ramp
	credit      int64
	override    *Override
	cause       *Transition // the cause of the present episode, or of the last one
	trip        *Transition
	inFlight    uint64 // permits that were given and are not resolved
	counts      Counts
	most        Counts // the most successes and ignored calls there have ever been
	lastFailure Instant
	heard       []Transition
}

// event is one place in the window.
type event struct {
	at                  Instant
	failed, slow, early bool
	success             bool
	void                bool // no call counts in this place
	taken               bool // it takes back an event that is like this one, except for its time
}

// pieces are the successes of the last while, and the failures between them.
type pieces struct {
	corrected, from Instant
	list            []piece
}

// piece is the failures before a success.
type piece struct {
	at     Instant
	run    []failure
	merged bool
}

// failure is one failure of a run.
type failure struct {
	at    Instant
	oneIn uint32
}

// ticket is the model's permit.
type ticket struct {
	model      *model
	generation uint64
	began      Instant
	due        Instant // when the call is found slow
	deadline   Instant // the deadline of a probe
	probe      bool
	slot       bool // it was given a slot
	unjudged   bool
	untimed    bool // the call cannot become slow in flight
	early      bool // the call was found slow in flight
	used       bool
}

func newModel(s Spec, now Instant) *model {
	m := &model{spec: s, generation: 1, since: now}
	m.enterClosed(now)
	if s.Config.Mode == ForcedOpen {
		m.move(Open, PolicyForced, now)
	}
	return m
}

func (m *model) enterClosed(now Instant) {
	m.latest, m.past, m.run, m.flying, m.broken, m.rampEnd, m.reported = now, nil, nil, nil, math.MinInt64, 0, false
	m.recent = nil
}

// partOf returns the number of the part of time that an instant is in, from the start of the clock.
func partOf(at, width Instant) Instant { return (at - ((at%width)+width)%width) / width }

// inWindow returns the events that count, by the last ten buckets or by their number.
func (m *model) inWindow() []*event {
	var in []*event
	size, width := int(m.spec.Config.WindowSize), Instant(m.spec.Config.WindowDuration/10)
	for i := range m.past {
		e := &m.past[i]
		if size > 0 && i >= len(m.past)-size || size == 0 && partOf(e.at, width)+10 > partOf(m.latest, width) {
			in = append(in, e)
		}
	}
	return in
}

func (m *model) window() WindowCounts {
	var w WindowCounts
	var events []*event
	switch m.state {
	case Closed:
		events = m.inWindow()
		w.Run = uint32(len(m.run))
	case HalfOpen:
		for i := range m.judged {
			events = append(events, &m.judged[i])
		}
		for i := len(m.judged) - 1; i >= 0 && m.judged[i].failed; i-- {
			w.Run++
		}
	}
	w.count(events)
	return w
}

func (w *WindowCounts) count(events []*event) {
	for _, e := range events {
		one := uint64(1)
		if e.taken {
			one = math.MaxUint64 // -1
		}
		if e.void {
			continue
		}
		w.Calls += one
		if e.failed {
			w.Failures += one
		}
		if e.slow {
			w.Slow += one
		}
	}
}

// wait returns how long the n-th opening in a row lasts, counted from 0, without jitter.
func (m *model) wait(n uint32) time.Duration {
	cfg := m.spec.Config
	most, wait := max(cfg.BackoffMax, cfg.WaitDurationInOpenState), cfg.WaitDurationInOpenState
	for range n {
		if next := wait / 100 * time.Duration(cfg.BackoffMultiplier); next <= most && next > wait {
			wait = next
		} else if next > most {
			return most
		}
	}
	return wait
}

// remembered returns how many openings a closed breaker has not forgotten.
func (m *model) remembered(now Instant) uint32 {
	n, closed := m.openings, now.Sub(m.since)
	for n > 0 && closed >= m.wait(n-1) {
		n--
		closed -= m.wait(n)
	}
	return n
}

func (m *model) move(to State, why Reason, now Instant) *Transition {
	return m.moveBy(Transition{Edge: Edge{m.state, to, why}, Window: m.window()}, now)
}

func (m *model) moveBy(tr Transition, now Instant) *Transition {
	cfg := m.spec.Config
	tr.Key, tr.Sequence, tr.Generation = m.spec.Key, m.sequence+1, m.generation+1
	tr.At, tr.Since, tr.Mode = now, m.since, cfg.Mode
	from, began := m.state, m.cause
	if m.state == Closed {
		m.openings = m.remembered(now)
	}
	m.state, m.since = tr.Edge.To, now
	asked := tr.Edge.Reason != HalfOpenExpired || len(m.judged) > 0 || m.lost > 0 || len(m.probes) > 0
	m.probes, m.judged, m.lost, m.resume = nil, nil, 0, 0
	m.generation++
	m.sequence++
	m.until = never
	switch tr.Edge.To {
	case Closed:
		m.enterClosed(now)
		if tr.Edge.Reason == ProbesSucceeded && cfg.RampDuration > 0 {
			m.rampEnd, m.credit = now.Add(cfg.RampDuration), 9_000
		}
	case Open:
		if tr.Edge.Reason.ByRule() {
			if !asked {
				m.openings = max(m.openings, 1) - 1
			}
			tr.Wait = jitter(m.wait(m.openings), cfg.BackoffJitter, m.spec.Key, m.sequence)
			m.openings = min(m.openings+1, 64)
			tr.Openings = m.openings
			m.until = now.Add(tr.Wait)
		}
	case HalfOpen:
		m.until = now.Add(cfg.MaxWaitDurationInHalfOpenState)
	}
	m.remember(from, tr)
	if from != Closed || tr.Edge.Reason == Restored && tr.Edge.To != Closed {
		tr.Cause = began
	}
	if !m.retired {
		m.heard = append(m.heard, tr)
	}
	return &tr
}

// remember notes a transition that begins an episode or trips the breaker.
func (m *model) remember(from State, tr Transition) {
	if from == Closed && tr.Edge.To != Closed && tr.Edge.Reason != Restored {
		m.cause = &tr
	}
	if tr.Edge.To == Open && tr.Edge.Reason.ByRule() {
		m.trip = &tr
	}
}

// timed reports whether time ends an open state.
func (m *model) timed() bool { return m.override == nil && m.spec.Config.Mode != ForcedOpen }

// advance makes the changes that time alone brings.
func (m *model) advance(now Instant) {
	if m.state == Closed {
		m.latest = max(m.latest, now)
	}
	if m.override != nil && now >= m.override.Until {
		m.expire(now)
	}
	switch m.state {
	case Closed:
		if now >= m.rampEnd {
			m.rampEnd = 0
		}
		if m.recent != nil && now-m.recent.corrected >= Instant(time.Minute) {
			m.recent = nil
		}
		m.findSlow(now)
	case Open:
		if m.timed() && now >= m.until {
			m.move(HalfOpen, WaitOver, now)
		}
	case HalfOpen:
		m.probes = slices.DeleteFunc(m.probes, func(p *ticket) bool {
			if now >= p.deadline {
				m.counts.LeasesExpired++
				m.lost++
			}
			return now >= p.deadline
		})
		if now >= m.until {
			m.move(Open, HalfOpenExpired, now)
		}
	}
}

func (m *model) expire(now Instant) {
	o := m.override
	m.override = nil
	tr := Transition{Edge: Edge{m.state, Closed, ForceExpired}, By: o.By, Note: o.Note, Window: m.window()}
	switch {
	case m.spec.Config.Mode == ForcedOpen:
		tr.Edge.To, tr.Edge.Reason = Open, PolicyForced
	case o.State == Open && m.spec.Config.Mode != Disabled:
		tr.Edge.To = HalfOpen
	}
	m.moveBy(tr, now)
}

// findSlow finds the calls in flight that are slow by now.
func (m *model) findSlow(now Instant) {
	found := false
	for _, t := range m.flying {
		if !t.early && t.due <= now {
			t.early, found = true, true
			m.past = append(m.past, event{at: m.latest, slow: true, early: true})
		}
	}
	if found {
		m.judge(now)
	}
}

func (m *model) share(now Instant) Ratio {
	if m.rampEnd == 0 {
		return Whole
	}
	return 1_000 + Ratio(9_000*max(now-m.since, 0)/(m.rampEnd-m.since))
}

func (m *model) acquire(uploading bool, now Instant) (*ticket, Decision) {
	m.advance(now)
	d := Decision{State: m.state, Admitted: true}
	t := &ticket{model: m, generation: m.generation, began: now, deadline: now.Add(m.spec.Lease)}
	cfg := m.spec.Config
	switch m.state {
	case Closed:
		if m.rampEnd != 0 {
			m.credit += int64(m.share(now))
			if d.Admitted = m.credit >= 10_000; d.Admitted {
				m.credit -= 10_000
			}
		}
	case Open:
		d.Admitted = false
		if m.timed() {
			d.RetryAfter = m.until.Sub(now)
		}
	case HalfOpen:
		t.probe = true
		d.Admitted = now >= m.resume && len(m.probes) < int(cfg.PermittedNumberOfCallsInHalfOpenState)
	}
	switch {
	case d.Admitted && m.state == HalfOpen:
		m.probes = append(m.probes, t)
		t.slot = true
	case d.Admitted:
		if threshold := Instant(cfg.SlowCallDurationThreshold); threshold > 0 && !uploading {
			part := threshold / 8
			t.due = (m.latest/part+1)*part + threshold
		} else {
			t.due, t.untimed = never, uploading
		}
		m.flying = append(m.flying, t)
	case cfg.Mode == MetricsOnly && m.override == nil:
		m.counts.WouldReject++
		t.unjudged, d.Admitted, d.RetryAfter = true, true, 0
	default:
		m.counts.Rejected++
		return nil, d
	}
	m.inFlight++
	return t, d
}

func (m *model) count(o Outcome, slow bool, n uint64, at Instant) {
	if o == Abandoned && !slow {
		o = Ignored
	}
	switch o {
	case Success:
		m.counts.Successes += n
	case Failure, Timeout:
		m.counts.Failures += n
		m.lastFailure = max(m.lastFailure, at)
		if o == Timeout {
			m.counts.Timeouts += n
		}
	case Ignored, Abandoned:
		m.counts.Ignored += n
	}
	m.most.Successes, m.most.Ignored = max(m.most.Successes, m.counts.Successes), max(m.most.Ignored, m.counts.Ignored)
	if slow && o != Ignored {
		m.counts.Slow += n
	}
}

func (m *model) slow(d time.Duration) bool {
	t := m.spec.Config.SlowCallDurationThreshold
	return t > 0 && d >= t
}

func (t *ticket) done(o Outcome, now Instant) { t.end(o, now.Sub(t.began), now) }

// end is the permit's Settle.
func (t *ticket) end(o Outcome, took time.Duration, now Instant) {
	if t.used {
		return
	}
	m := t.model
	m.advance(now)
	slow := m.slow(took)
	m.count(o, slow, 1, now)
	t.land(o, slow, now)
}

// unsent is the permit's Unsent.
func (t *ticket) unsent(o Outcome, took time.Duration, now Instant) {
	m := t.model
	if !t.used && t.slot {
		if m.advance(now); slices.Contains(m.probes, t) {
			o, m.resume = Ignored, now.Add(time.Second)
		}
	}
	t.end(o, took, now)
}

// refuse is the permit's Refuse.
func (t *ticket) refuse(now Instant) Decision {
	m := t.model
	if t.used || !t.slot || t.unjudged {
		return Decision{Admitted: true}
	}
	t.release(now)
	if m.spec.Config.Mode == MetricsOnly && m.override == nil {
		m.counts.WouldReject++
		t.unjudged = true
		return Decision{State: HalfOpen, Admitted: true}
	}
	m.counts.Rejected++
	m.inFlight--
	t.used = true
	return Decision{State: HalfOpen}
}

// answered is the permit's Answered.
func (t *ticket) answered(now Instant) {
	m := t.model
	if t.used || t.unjudged || t.probe || t.untimed {
		return
	}
	m.advance(now)
	if t.generation != m.generation {
		return
	}
	t.untimed = true
	m.flying = slices.DeleteFunc(m.flying, func(f *ticket) bool { return f == t })
	if t.early {
		m.settle(t.early, event{at: m.latest, void: true})
		t.early = false
	}
}

// release frees the slot of a probe.
func (t *ticket) release(now Instant) {
	t.model.advance(now)
	t.model.probes = slices.DeleteFunc(t.model.probes, func(p *ticket) bool { return p == t })
}

func (t *ticket) land(o Outcome, slow bool, now Instant) {
	t.used = true
	m := t.model
	m.inFlight--
	if t.unjudged || t.generation != m.generation {
		return
	}
	if t.probe {
		m.judgeProbe(t, o, slow, now)
		return
	}
	void := o == Ignored || o == Abandoned && !slow
	m.flying = slices.DeleteFunc(m.flying, func(f *ticket) bool { return f == t })
	m.settle(t.early, event{at: m.latest, failed: o.Failed(), slow: slow, void: void})
	switch {
	case void:
		return
	case o.Failed():
		m.run = append(m.run, failure{at: now})
	case o == Success:
		m.succeeded(now)
	}
	m.judge(now)
}

// succeeded ends the run.
func (m *model) succeeded(at Instant) {
	if p := m.recent; p != nil {
		if len(p.list) == 32 {
			p.from = max(p.from, p.list[0].at+1)
			p.list = p.list[1:]
		}
		p.list = append(p.list, piece{at: at, run: m.run})
	}
	m.run = nil
}

// settle puts the outcome of a call into the window. Where the call is there already, as
// one that was slow in flight, it replaces the oldest such event.
func (m *model) settle(early bool, e event) {
	if old := m.oldestEarly(); early && old != nil {
		if m.spec.Config.WindowSize > 0 {
			e.at = old.at
			*old = e
			return
		}
		*old = event{at: old.at, void: true}
	}
	if !e.void {
		m.past = append(m.past, e)
	}
}

// oldestEarly returns the oldest event of a call in flight, or nil. Places of a count-based
// window are as old as they came.
func (m *model) oldestEarly() (oldest *event) {
	for _, e := range m.inWindow() {
		if e.early && (oldest == nil || m.spec.Config.WindowSize == 0 && e.at < oldest.at) {
			oldest = e
		}
	}
	return oldest
}

// judge trips a closed breaker that has reached one of its thresholds.
func (m *model) judge(now Instant) {
	cfg, w := m.spec.Config, m.window()
	reached := func(part uint64, threshold Ratio) bool {
		return threshold > 0 && w.Calls >= uint64(cfg.MinimumNumberOfCalls) && 10_000*part >= uint64(threshold)*w.Calls
	}
	if cfg.Mode == Disabled || m.override != nil {
		return
	}
	runs := [][]failure{m.run}
	if m.recent != nil {
		for i := range m.recent.list {
			if p := &m.recent.list[i]; p.merged {
				runs = append(runs, p.run)
				p.merged = false
			}
		}
	}
	for _, run := range runs {
		if cfg.ConsecutiveFailures > 0 && len(run) >= int(cfg.ConsecutiveFailures) && m.unbroken(run, w) {
			m.run = run
			m.move(Open, ConsecutiveFailures, now)
			return
		}
	}
	switch {
	case reached(w.Failures, cfg.FailureRateThreshold):
		m.move(Open, FailureRate, now)
	case reached(w.Slow, cfg.SlowCallRateThreshold):
		m.move(Open, SlowCallRate, now)
	}
}

// unbroken reports whether no success can have gone unseen in the run.
func (m *model) unbroken(failed []failure, w WindowCounts) bool {
	oneIn := uint32(0)
	for _, f := range failed {
		oneIn = max(oneIn, f.oneIn)
	}
	exact := 0 // how many failures came after the last one from a sample
	for exact < len(failed) && failed[len(failed)-1-exact].oneIn <= 1 {
		exact++
	}
	if oneIn <= 1 || exact >= int(m.spec.Config.ConsecutiveFailures) {
		return true
	}
	run := uint64(len(failed))
	failures, calls := w.Failures-min(w.Failures, run), w.Calls-min(w.Calls, run)
	rate := float64(failures+1) / float64(calls+2)
	rate = min(max(rate, float64(m.spec.Config.FailureRateThreshold)/10_000), 0.9)
	chance := 1.0
	for range run {
		chance *= rate / (rate + (1-rate)/float64(oneIn))
	}
	return chance <= 1e-12
}

// judgeProbe takes the outcome of a probe of this half-open state.
func (m *model) judgeProbe(t *ticket, o Outcome, slow bool, now Instant) {
	i := slices.Index(m.probes, t)
	if i < 0 {
		return
	}
	m.probes = slices.Delete(m.probes, i, i+1)
	if o == Ignored || o == Abandoned && !slow {
		return
	}
	m.judged = append(m.judged, event{at: now, failed: o.Failed(), slow: slow, success: o == Success})
	m.judgeProbes(now)
}

// probed returns the probes of this half-open state so far, and how many of them succeeded.
func (m *model) probed() (w WindowCounts, successes uint64) {
	for _, e := range m.judged {
		if e.success && e.taken {
			successes--
		} else if e.success {
			successes++
		}
	}
	return m.window(), successes
}

// judgeProbes ends half-open if the probes so far are enough.
func (m *model) judgeProbes(now Instant) {
	cfg, needed := m.spec.Config, uint64(m.spec.Config.SuccessThreshold)
	switch w, successes := m.probed(); {
	case w.Failures > 0:
		m.move(Open, ProbeFailed, now)
	case w.Calls >= needed && cfg.TripsOnSlowCalls() && 10_000*w.Slow >= uint64(cfg.SlowCallRateThreshold)*w.Calls:
		m.move(Open, SlowCallRate, now)
	case successes >= needed:
		m.move(Closed, ProbesSucceeded, now)
	}
}

// configure reports whether the breaker restarted.
func (m *model) configure(s Spec, now Instant) bool {
	now = max(now, m.since)
	m.advance(now)
	same, window := m.spec.Config == s.Config, m.window()
	m.spec = s
	if same {
		return false
	}
	m.openings = 0
	switch {
	case m.override != nil:
		m.renew(now)
	case s.Config.Mode == ForcedOpen:
		m.moveBy(Transition{Edge: Edge{m.state, Open, PolicyForced}, Window: window}, now)
	case m.state != Closed:
		m.moveBy(Transition{Edge: Edge{m.state, Closed, PolicyChanged}, Window: window}, now)
	default:
		m.renew(now)
		m.since = now
	}
	return true
}

// renew begins a generation in the same state.
func (m *model) renew(now Instant) {
	m.generation++
	m.probes = nil
	if m.state == Closed {
		m.enterClosed(now)
	}
}

func (m *model) force(o Override, now Instant) {
	m.advance(now)
	m.override = &o
	m.moveBy(Transition{Edge: Edge{m.state, o.State, Forced}, By: o.By, Note: o.Note, Until: o.Until, Window: m.window()}, now)
}

func (m *model) reset(by, note string, now Instant) {
	m.advance(now)
	m.override = nil
	edge := Edge{m.state, Closed, Reset}
	if m.spec.Config.Mode == ForcedOpen {
		edge = Edge{m.state, Open, PolicyForced}
	}
	tr := *m.moveBy(Transition{Edge: edge, By: by, Note: note, Window: m.window()}, now)
	m.openings, m.cause, m.trip = 0, nil, nil
	if tr.Edge.To == Open {
		tr.Cause = nil
		m.cause = &tr
	}
}

// report takes outcomes in order of their times, whatever order they are in.
func (m *model) report(outcomes []Reported, now Instant) {
	m.advance(now)
	outcomes = slices.Clone(outcomes)
	slices.SortStableFunc(outcomes, func(x, y Reported) int {
		switch {
		case x.At != y.At:
			return int(x.At - y.At)
		case x.Outcome.Failed() && !y.Outcome.Failed():
			return -1
		case y.Outcome.Failed() && !x.Outcome.Failed():
			return 1
		}
		return 0
	})
	for i, o := range outcomes {
		m.reportOne(o, now)
		if m.state == Closed && (i+1 == len(outcomes) || outcomes[i+1].At != o.At) {
			m.judge(now)
		}
	}
}

// rejected takes calls that a proxy has rejected.
func (m *model) rejected(n uint64, now Instant) {
	m.advance(now)
	m.counts.Rejected += n
}

func (m *model) reportOne(o Reported, now Instant) {
	at, slow, n := min(o.At, now), m.slow(o.Duration), uint32(1)
	void := o.Outcome == Ignored || o.Outcome == Abandoned && !slow
	own := m.generation == 1 || at.Add(-o.Lasted) >= m.since
	if o.Generation != 0 {
		own = o.Generation == m.generation
	}
	if o.Corrects {
		m.correct(o, own, now)
		return
	}
	if o.Running {
		if m.state == Closed && slow && own {
			m.past = append(m.past, event{at: min(at, m.latest), slow: true, early: true})
		}
		return
	}
	// A failure and a slow call are always logged, and stand for themselves.
	if (void || o.Outcome == Success && !slow) && o.OneIn > 1 && !o.Early {
		n = o.OneIn
	}
	if o.Unsent && m.state == HalfOpen {
		o.Outcome, slow, void = Ignored, false, true
	}
	m.count(o.Outcome, slow, uint64(n), at)
	watched := m.spec.Config.Mode == MetricsOnly && m.override == nil
	if m.state == Open && watched {
		m.counts.WouldReject += uint64(n)
	}
	if void && !(o.Early && m.state == Closed) || !own {
		return
	}
	switch {
	case o.Early && m.state == Closed:
		m.settle(true, event{at: min(at, m.latest), failed: o.Outcome.Failed(), slow: slow, void: void})
		m.addReport(o.Outcome, failure{at, o.OneIn})
	case m.state == HalfOpen && (o.Probe || watched):
		m.judged = append(m.judged, event{at: now, failed: o.Outcome.Failed(), slow: slow, success: o.Outcome == Success})
		m.judgeProbes(now)
	case m.state == Closed:
		for range n {
			m.past = append(m.past, event{at: min(at, m.latest), failed: o.Outcome.Failed(), slow: slow})
		}
		m.addReport(o.Outcome, failure{at, o.OneIn})
	}
}

// beginReports notes that the times of failures with permits are not known.
func (m *model) beginReports() {
	if !m.reported {
		m.reported = true
		for i := range m.run {
			m.run[i].at = math.MinInt64
		}
	}
}

// addReport takes a reported outcome into the run.
func (m *model) addReport(o Outcome, f failure) {
	if !o.Failed() && o != Success {
		return
	}
	m.beginReports()
	if o.Failed() {
		if f.at >= m.broken {
			m.run = append(m.run, f)
		}
		return
	}
	m.broken = max(m.broken, f.at)
	first := Instant(never)
	for _, f := range m.run {
		first = min(first, f.at)
	}
	if len(m.run) == 0 || f.at >= first {
		m.succeeded(f.at)
	}
}

func (m *model) status(now Instant) Status {
	m.advance(now)
	s := Status{
		Key: m.spec.Key, Config: &m.spec.Config, State: m.state, Generation: m.generation, Sequence: m.sequence, Since: m.since,
		SuccessLag: uint32(m.most.Successes - m.counts.Successes), IgnoredLag: uint32(m.most.Ignored - m.counts.Ignored),
		InFlight: m.inFlight, Window: m.window(), Counts: m.counts, LastFailure: m.lastFailure,
		Openings: m.openings, Override: m.override,
	}
	if m.cause != nil || m.trip != nil {
		s.Episode = &Episode{Cause: m.cause, Trip: m.trip}
	}
	s.Counts.Requests = s.Counts.Rejected + s.Counts.Successes + s.Counts.Failures + s.Counts.Ignored + m.inFlight
	switch {
	case m.state == Closed:
		s.Admits, s.Openings = m.share(now), m.remembered(now)
	case m.state == HalfOpen:
		s.ProbesInFlight = uint32(len(m.probes))
	case m.timed():
		s.RetryAfter = m.until.Sub(now)
	}
	return s
}

// due returns when time alone changes the breaker; false when it does not.
func (m *model) due() (Instant, bool) {
	switch {
	case m.override != nil:
		return m.override.Until, true
	case m.state == Closed:
		first := never
		if m.spec.Config.TripsOnSlowCalls() {
			for _, t := range m.flying {
				if !t.early {
					first = min(first, t.due)
				}
			}
		}
		return first, first != never
	default:
		return m.until, m.until != never
	}
}
