package sampling

import "testing"

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
