package sampling

import "time"

// Meter has the rates at which one proxy makes calls to one breaker: calls that pass, and calls that the proxy rejects itself. The
// zero value has had no calls.
type Meter struct {
	passed, rejected rate
	total            float64       // the sum of the rates at which calls pass, of all meters that were passed to Raise
	longest          time.Duration // since the last update
	longestBefore    time.Duration // in the time before
}

// AddPassed adds n calls that passed.
func (m *Meter) AddPassed(n uint32) { m.passed.calls += uint64(n) }

// AddRejected adds n calls that the proxy rejected.
func (m *Meter) AddRejected(n uint32) { m.rejected.calls += uint64(n) }

// Lasted adds how long a call took that was logged as one of a sample.
func (m *Meter) Lasted(d time.Duration) { m.longest = max(m.longest, d) }

// Longest returns the longest time that was added in the last seconds.
func (m *Meter) Longest() time.Duration { return max(m.longest, m.longestBefore) }

// Update computes the rates from the calls that were added since the last update, which was some seconds ago.
func (m *Meter) Update(seconds float64) {
	m.passed.update(seconds)
	m.rejected.update(seconds)
	m.longest, m.longestBefore = 0, m.longest
}

// Raise raises each rate to the rate of another meter if the other one is higher, and adds up the calls that pass.
func (m *Meter) Raise(other *Meter) {
	m.total += other.passed.value
	m.passed.value = max(m.passed.value, other.passed.value)
	m.rejected.value = max(m.rejected.value, other.rejected.value)
}

// PerSecond returns the rate of all calls as of the last update.
func (m *Meter) PerSecond() float64 { return m.passed.value + m.rejected.value }

// rate is a number of calls per second. It rises at once, and falls slowly.
type rate struct {
	calls uint64 // since the last update
	value float64
}

func (r *rate) update(seconds float64) {
	now := float64(r.calls) / seconds
	r.value = max(now, r.value+(now-r.value)/4)
	r.calls = 0
}
