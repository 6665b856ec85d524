package breaker

// Mode says what becomes of the breaker's decisions.
type Mode uint8

// The modes.
const (
	// Enforce rejects calls as the state says.
	Enforce Mode = iota
	// MetricsOnly admits every call, and counts the calls that Enforce would have
	// rejected. State and transitions are the same as with Enforce.
	MetricsOnly
	// ForcedOpen admits no call, until the policy changes.
	ForcedOpen
	// Disabled admits every call and never trips.
	Disabled
)

// String returns the mode's name as policies write it.
func (m Mode) String() string {
	return [...]string{"Enforce", "MetricsOnly", "ForcedOpen", "Disabled"}[m]
}

// The states that an operator can put in place of the policy's mode, as
// [Status.EffectiveMode] names them.
const (
	ForcedOpenByHand   = "ForcedOpenByHand"
	ForcedClosedByHand = "ForcedClosedByHand"
)

// effective names what decides about calls. Where the policy's mode is Disabled no
// call asks the breaker, so an override changes nothing.
func (m Mode) effective(byHand bool, s State) string {
	switch {
	case !byHand || m == Disabled:
		return m.String()
	case s == Open:
		return ForcedOpenByHand
	default:
		return ForcedClosedByHand
	}
}

// watchOnly reports whether no call is rejected, whatever the state is.
func (m Mode) watchOnly(byHand bool) bool { return m == MetricsOnly && !byHand }

// rejects reports whether calls are rejected as the state says.
func (m Mode) rejects(byHand bool) bool { return m != Disabled && !m.watchOnly(byHand) }

// EffectiveMode names what decides about the breaker's calls: the policy's mode, or
// [ForcedOpenByHand] or [ForcedClosedByHand].
func (s *Status) EffectiveMode() string {
	if o := s.Override; o != nil { // in a sum over all proxies, State may come from another breaker
		return s.Config.Mode.effective(true, o.State)
	}
	return s.Config.Mode.effective(false, s.State)
}

// Forced reports whether an operator, or the policy's mode, holds the breaker in its
// state, so that neither rules nor timers decide.
func (s *Status) Forced() bool { return s.Override != nil || s.Config.Mode == ForcedOpen }

// Rejects reports whether calls are rejected as the state says. It is false where the
// mode is MetricsOnly or Disabled.
func (s *Status) Rejects() bool { return s.Config.Mode.rejects(s.Override != nil) }

// EffectiveMode is [Status.EffectiveMode] after the transition.
func (t *Transition) EffectiveMode() string { return t.Mode.effective(t.Until != 0, t.Edge.To) }

// Rejects is [Status.Rejects] after the transition.
func (t *Transition) Rejects() bool { return t.Mode.rejects(t.Until != 0) }
