package wire

// SampledPerSecond is how many calls of a breaker each proxy should log in a second, once for the calls that go through
// and once for the calls that it rejects. Below that rate a proxy logs all calls. The calls that ask for permits in
// half-open have the same rate, so that a breaker gets probes as reliably as log entries.
const SampledPerSecond = 50

// Sampling is how densely a proxy logs the calls of a breaker: one in Passed of the calls that go through without a
// permit, and one in Rejected of the calls that the proxy rejects itself. 0 and 1 both mean all calls. Failures and slow
// calls are always logged.
type Sampling struct {
	Passed, Rejected uint32
	// Exact makes all calls that go through take [RouteExact] for a while, which logs them, instead of RouteSampled and
	// RouteClosed. So the entry of a call shows how many calls it stands for, whenever its proxy made the change.
	Exact bool
}

// All returns the same sampling with 1 in place of 0.
func (s Sampling) All() Sampling {
	s.Passed, s.Rejected = max(s.Passed, 1), max(s.Rejected, 1)
	return s
}

// Complete reports whether all calls are logged, whatever Exact is.
func (s Sampling) Complete() bool { return s.Passed <= 1 && s.Rejected <= 1 }
