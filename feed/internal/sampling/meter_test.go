package sampling

import (
	"testing"
	"time"
)

// TestMeter: a rate rises at once, falls by a quarter of the difference, and is raised only by a higher one.
func TestMeter(t *testing.T) {
	var m, other Meter
	want := func(passed, rejected float64) {
		t.Helper()
		if m.passed.value != passed || m.rejected.value != rejected || m.PerSecond() != passed+rejected {
			t.Errorf("%v and %v calls per second, %v of both; want %v and %v", m.passed.value, m.rejected.value, m.PerSecond(), passed, rejected)
		}
	}
	m.AddPassed(30)
	m.AddPassed(10)
	m.AddRejected(8)
	want(0, 0)
	m.Update(2)
	want(20, 4)
	m.AddPassed(40)
	m.Update(1)
	want(40, 3)
	other.AddPassed(1)
	other.AddRejected(7)
	other.Update(1)
	m.Raise(&other)
	want(40, 7)
}

// TestLongest: the longest call is remembered until the next second is over.
func TestLongest(t *testing.T) {
	var m Meter
	for i, tt := range []struct {
		lasted []time.Duration
		want   time.Duration
	}{
		{nil, 0}, {[]time.Duration{3 * time.Millisecond, time.Millisecond}, 3 * time.Millisecond},
		{[]time.Duration{2 * time.Millisecond}, 3 * time.Millisecond}, {nil, 2 * time.Millisecond}, {nil, 0},
	} {
		for _, d := range tt.lasted {
			m.Lasted(d)
		}
		if got := m.Longest(); got != tt.want {
			t.Errorf("second %d: %s, want %s", i, got, tt.want)
		}
		m.Update(1)
	}
}

// TestRaiseAddsUp: the sampling follows the busiest proxy, and the load is the sum of all.
func TestRaiseAddsUp(t *testing.T) {
	var all Meter
	for _, calls := range []uint32{100, 3_000, 20} {
		var m Meter
		m.AddPassed(calls)
		m.Update(1)
		all.Raise(&m)
	}
	var s Sampler
	if got := s.OneIn(); got != 1 {
		t.Errorf("one call in %d is logged at first, want all", got)
	}
	if s.Decide(all); s.OneIn() != 64 || s.Rate() != 3_120 {
		t.Errorf("one call in %d is logged, of %v calls/s; want one in 64, of 3,120", s.OneIn(), s.Rate())
	}
}
