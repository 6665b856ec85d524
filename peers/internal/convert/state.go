package convert

import (
	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/peerspb"
)

// State is a breaker as its owner has it.
type State struct {
	Rank Rank
	// Saved is without the Config, of which ConfigSum is a checksum.
	Saved       breaker.Saved
	ConfigSum   uint64
	Ramping     bool
	Probes      uint32 // in flight
	InFlight    uint64
	Window      breaker.WindowCounts
	Counts      breaker.Counts
	SuccessLag  uint32
	IgnoredLag  uint32
	LastFailure breaker.Instant // 0: not known
	// Turn is the replica that deals permits of connections.
	Turn string
	// Transition led to this state, if it was made just now; else nil.
	Transition *breaker.Transition
}

// StateOut writes a state that is sent at an instant.
func StateOut(s *State, now breaker.Instant) *peerspb.State {
	t := at(now)
	m := &peerspb.State{
		Key: Key(s.Saved.Key), Rank: rankOut(s.Rank), State: int32(s.Saved.State), SinceAge: t.age(s.Saved.Since),
		Openings: s.Saved.Openings, Sequence: s.Saved.Sequence, Cause: transitionOut(s.Saved.Cause, t), Trip: transitionOut(s.Saved.Trip, t),
		Lease: int64(s.Saved.Lease), Ramping: s.Ramping, Probes: s.Probes, InFlight: s.InFlight, Window: windowOut(s.Window),
		Counts: countsOut(&s.Counts, s.SuccessLag, s.IgnoredLag), LastFailureAge: t.ageIfKnown(s.LastFailure),
		Transition: transitionOut(s.Transition, t), ConfigSum: s.ConfigSum, Turn: s.Turn,
	}
	if s.Saved.Until != 0 {
		m.Ends, m.Left = true, t.left(s.Saved.Until)
	}
	if o := s.Saved.Override; o != nil {
		m.Override = &peerspb.Override{State: int32(o.State), By: o.By, Note: o.Note, Left: t.left(o.Until)}
	}
	return m
}

// StateIn reads a state that arrived at an instant. ok is false where it makes no sense.
func StateIn(m *peerspb.State, now breaker.Instant) (s *State, ok bool) {
	t := at(now)
	if !IsState(m.GetState()) {
		return nil, false
	}
	s = &State{
		ConfigSum: m.GetConfigSum(), Turn: m.GetTurn(), Ramping: m.GetRamping(), Probes: m.GetProbes(), InFlight: m.GetInFlight(), Window: windowIn(m.GetWindow()),
		SuccessLag: m.GetCounts().GetSuccessLag(), IgnoredLag: m.GetCounts().GetIgnoredLag(), Counts: countsIn(m.GetCounts()),
		LastFailure: t.pastIfKnown(m.GetLastFailureAge()),
		Saved: breaker.Saved{
			Key: KeyOf(m.GetKey()), State: breaker.State(m.GetState()), Since: t.past(m.GetSinceAge()), Openings: m.GetOpenings(),
			Sequence: m.GetSequence(), Generation: m.GetRank().GetGeneration(), Lease: duration(m.GetLease()),
		},
	}
	s.Rank = rankIn(m.GetRank(), s.Saved.State)
	if m.GetEnds() {
		s.Saved.Until = t.end(m.GetLeft())
	}
	if o := m.GetOverride(); o != nil {
		if o.GetState() != m.GetState() || s.Saved.State == breaker.HalfOpen { // no operator can have forced it
			return nil, false
		}
		s.Saved.Override = &breaker.Override{State: breaker.State(o.GetState()), By: o.GetBy(), Note: o.GetNote(), Until: t.end(o.GetLeft())}
	}
	var fine [3]bool
	s.Saved.Cause, fine[0] = transitionIn(m.GetCause(), s.Saved.Key, t)
	s.Saved.Trip, fine[1] = transitionIn(m.GetTrip(), s.Saved.Key, t)
	s.Transition, fine[2] = transitionIn(m.GetTransition(), s.Saved.Key, t)
	return s, fine == [3]bool{true, true, true}
}

func windowOut(w breaker.WindowCounts) *peerspb.Window {
	if w == (breaker.WindowCounts{}) {
		return nil
	}
	return &peerspb.Window{Calls: w.Calls, Failures: w.Failures, Slow: w.Slow, Run: w.Run}
}

func windowIn(m *peerspb.Window) breaker.WindowCounts {
	return breaker.WindowCounts{Calls: m.GetCalls(), Failures: m.GetFailures(), Slow: m.GetSlow(), Run: m.GetRun()}
}

func countsOut(c *breaker.Counts, successes, ignored uint32) *peerspb.Counts {
	return &peerspb.Counts{
		Requests: c.Requests, Rejected: c.Rejected, WouldReject: c.WouldReject, Successes: c.Successes, Failures: c.Failures,
		Timeouts: c.Timeouts, Slow: c.Slow, Ignored: c.Ignored, LeasesExpired: c.LeasesExpired, SuccessLag: successes, IgnoredLag: ignored,
	}
}

func countsIn(m *peerspb.Counts) breaker.Counts {
	return breaker.Counts{
		Requests: m.GetRequests(), Rejected: m.GetRejected(), WouldReject: m.GetWouldReject(), Successes: m.GetSuccesses(), Failures: m.GetFailures(),
		Timeouts: m.GetTimeouts(), Slow: m.GetSlow(), Ignored: m.GetIgnored(), LeasesExpired: m.GetLeasesExpired(),
	}
}
