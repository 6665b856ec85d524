package breaker

import "testing"

// TestReportOfAnUnsentCall: a failure is always logged and stands for one call, however few of
// the others were logged; a call that was sampled stands for several.
func TestReportOfAnUnsentCall(t *testing.T) {
	for o, want := range map[Outcome]uint64{Failure: 1, Timeout: 1, Success: 512, Ignored: 512} {
		r := halfOpenRig(t, 1, 1)
		before := r.status().Counts
		r.engine.Report(keyA, []Reported{{Outcome: o, At: r.now, OneIn: 512, Probe: true, Unsent: true}}, r.now)
		got := r.status()
		if got.Counts.Ignored != before.Ignored+want || got.Counts.Requests != before.Requests+want || got.State != HalfOpen {
			t.Errorf("%s: %s with %+v, want half-open and %d more ignored than %+v", o, got.State, got.Counts, want, before)
		}
	}
}
