package sampling

// Meter has the rates at which one proxy makes calls to one breaker: calls that pass, and calls that the proxy rejects itself. The
// zero value has had no calls.
type Meter struct{ passed, rejected rate }

// AddPassed adds n calls that passed.
func (m *Meter) AddPassed(n uint32) { m.passed.calls += uint64(n) }

// AddRejected adds n calls that the proxy rejected.
func (m *Meter) AddRejected(n uint32) { m.rejected.calls += uint64(n) }

// Update computes the rates from the calls that were added since the last update, which was some seconds ago.
func (m *Meter) Update(seconds float64) {
	m.passed.update(seconds)
	m.rejected.update(seconds)
}

// Raise raises each rate to the rate of another meter if the other one is higher.
func (m *Meter) Raise(other *Meter) {
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
