package wire

// SampledPerSecond is how many entries each proxy should log of a breaker in a second: of the calls that go
// through, and of those that it rejects. Below that rate a proxy logs all calls. As many calls ask for permits in half-open, so
// that a probe is never missing where one was logged.
const SampledPerSecond = 50

// Sampling is how densely a proxy logs the calls of a breaker: one in Passed of the calls that go through without a permit,
// and one in Rejected of those that it rejects by itself. 0 and 1 both mean all calls. Failures and slow calls are
// always logged.
type Sampling struct{ Passed, Rejected uint32 }

// All returns the sampling with 1 in place of 0.
func (s Sampling) All() Sampling { return Sampling{max(s.Passed, 1), max(s.Rejected, 1)} }

// Complete reports whether all calls are logged.
func (s Sampling) Complete() bool { return s.Passed <= 1 && s.Rejected <= 1 }
