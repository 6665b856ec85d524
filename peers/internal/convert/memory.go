package convert

import (
	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/peerspb"
)

// MemoryOut writes what a handover has beside the state.
func MemoryOut(h *breaker.Handover, now breaker.Instant) *peerspb.Memory {
	t := at(now)
	m := &peerspb.Memory{
		Run:            &peerspb.Run{Failures: h.Run.Failures, OneIn: h.Run.OneIn, Exact: h.Run.Exact, Age: t.age(h.Run.Since), Known: h.Run.Since != 0},
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
	t, run := at(now), m.GetRun()
	h.Run = breaker.Run{Failures: run.GetFailures(), OneIn: run.GetOneIn(), Exact: run.GetExact()}
	if run.GetKnown() {
		h.Run.Since = t.past(run.GetAge())
	}
	if m.GetSucceeded() {
		h.Run.Broken = t.past(m.GetLastSuccessAge())
	}
	// Messages do not say it. Where nothing else is known of a run, it makes no difference.
	h.Run.Reported = run.GetKnown() || m.GetSucceeded() || run.GetOneIn() > 0 || run.GetExact() > 0
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
