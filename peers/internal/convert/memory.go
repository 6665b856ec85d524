package convert

import (
	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/peerspb"
)

// MemoryOut writes what a handover has beside the state.
func MemoryOut(h *breaker.Handover, now breaker.Instant) *peerspb.Memory {
	t := at(now)
	m := &peerspb.Memory{
		Run: runOut(&h.Run, t), Recent: recentOut(h.Recent, t),
		LastSuccessAge: t.age(h.Run.Broken), Succeeded: h.Run.Broken != 0,
		RampLeft: t.left(h.RampUntil), Ramping: h.RampUntil != 0, RampCredit: uint32(h.RampCredit),
		LastProbe: h.LastProbe, Probed: windowOut(h.Probed.Counts), ProbeSuccesses: h.Probed.Successes, ProbesLost: h.Probed.Lost,
		ResumeLeft: t.left(h.Probed.Resume),
	}
	for _, w := range h.Window {
		m.Window = append(m.Window, &peerspb.Tally{
			Age: t.age(w.At), Timed: w.At != 0, Calls: w.Calls, Failures: w.Failures, Slow: w.Slow, Early: w.Early, Void: w.Void,
		})
	}
	for _, p := range h.Probes {
		m.Probes = append(m.Probes, &peerspb.Probe{Id: p.ID, Left: t.left(p.Deadline)})
	}
	return m
}

// MemoryIn reads what a handover has beside the state.
func MemoryIn(m *peerspb.Memory, now breaker.Instant) (h breaker.Handover) {
	t := at(now)
	h.Run, h.Recent = runIn(m.GetRun(), t), recentIn(m.GetRecent(), t)
	if m.GetSucceeded() {
		h.Run.Broken = t.past(m.GetLastSuccessAge())
	}
	if m.GetRamping() {
		h.RampUntil, h.RampCredit = t.end(m.GetRampLeft()), breaker.Ratio(min(m.GetRampCredit(), uint32(breaker.Whole)))
	}
	h.LastProbe = m.GetLastProbe()
	h.Probed = breaker.Probed{Counts: windowIn(m.GetProbed()), Successes: m.GetProbeSuccesses(), Lost: m.GetProbesLost()}
	if m.GetResumeLeft() > 0 {
		h.Probed.Resume = t.end(m.GetResumeLeft())
	}
	for _, w := range m.GetWindow() {
		tally := breaker.Tally{Calls: w.GetCalls(), Failures: w.GetFailures(), Slow: w.GetSlow(), Early: w.GetEarly(), Void: w.GetVoid()}
		if w.GetTimed() {
			tally.At = t.past(w.GetAge())
		}
		h.Window = append(h.Window, tally)
	}
	for _, p := range m.GetProbes() {
		h.Probes = append(h.Probes, breaker.Probe{ID: p.GetId(), Deadline: t.end(p.GetLeft())})
	}
	return h
}

func runOut(r *breaker.Run, t at) *peerspb.Run {
	return &peerspb.Run{Failures: r.Failures, OneIn: r.OneIn, Exact: r.Exact, Age: t.age(r.Since), Known: r.Since != 0, Reported: r.Reported}
}

func runIn(m *peerspb.Run, t at) breaker.Run {
	r := breaker.Run{Failures: m.GetFailures(), OneIn: m.GetOneIn(), Exact: m.GetExact(), Reported: m.GetReported()}
	if m.GetKnown() {
		r.Since = t.past(m.GetAge())
	}
	return r
}

func recentOut(r *breaker.Recent, t at) *peerspb.Recent {
	if r == nil {
		return nil
	}
	m := &peerspb.Recent{CorrectedAge: t.age(r.Corrected), FromAge: t.age(r.From)}
	for i := range r.Successes {
		s := &r.Successes[i]
		m.Successes = append(m.Successes, &peerspb.RecentSuccess{Age: t.age(s.At), Before: runOut(&s.Before, t), Grown: s.Grown})
	}
	return m
}

func recentIn(m *peerspb.Recent, t at) *breaker.Recent {
	if m == nil {
		return nil
	}
	r := &breaker.Recent{Corrected: t.past(m.GetCorrectedAge()), From: t.past(m.GetFromAge())}
	for _, s := range m.GetSuccesses() {
		r.Successes = append(r.Successes, breaker.RecentSuccess{At: t.past(s.GetAge()), Before: runIn(s.GetBefore(), t), Grown: s.GetGrown()})
	}
	return r
}
