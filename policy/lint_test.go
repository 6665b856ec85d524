package policy

import (
	"slices"
	"testing"

	"breakwater.dev/breaker"
)

// The highest rate without a run is the same as that found by trying every sequence of calls.
func TestHighestRate(t *testing.T) {
	for run := uint32(1); run <= 4; run++ {
		for least := uint32(1); least <= 7; least++ {
			most, bounded := highestRate(breaker.Config{ConsecutiveFailures: run, MinimumNumberOfCalls: least})
			if want := tryAll(run, least, longest); most != want || !bounded {
				t.Errorf("runs below %d in %d calls or more: %s (bounded %v), want %s", run, least, most, bounded, want)
			}
			for size := least; size <= longest; size++ {
				most, _ := highestRate(breaker.Config{ConsecutiveFailures: run, MinimumNumberOfCalls: least, WindowSize: size})
				if want := tryAll(run, least, size); most != want {
					t.Errorf("runs below %d in %d to %d calls: %s, want %s", run, least, size, most, want)
				}
			}
		}
	}
	if _, bounded := highestRate(breaker.Config{MinimumNumberOfCalls: 10}); bounded {
		t.Error("without the rule for runs, there is a highest rate")
	}
}

// longest is a number of calls that has room for the fewest successes of every case.
const longest = 12

// tryAll tries all sequences of least to most calls. A 1 bit is a failure.
func tryAll(run, least, most uint32) breaker.Ratio {
	var best breaker.Ratio
	for calls := least; calls <= most; calls++ {
		for sequence := range uint32(1) << calls {
			var failures, streak, worst uint32
			for i := range calls {
				if sequence>>i&1 == 0 {
					streak = 0
					continue
				}
				failures, streak = failures+1, streak+1
				worst = max(worst, streak)
			}
			if worst < run {
				best = max(best, breaker.Ratio(failures*uint32(breaker.Whole)/calls))
			}
		}
	}
	return best
}

// TestNotesOnEjections checks the notes on ejections that last longer than the wait of some upstreams. There
// is one for each upstream, and no problem, if only the policy for the mesh asks for the ejections.
func TestNotesOnEjections(t *testing.T) {
	set, diagnostics := Parse([]File{
		{Name: "upstreams.yaml", Data: []byte(`apiVersion: breakwater.dev/v1alpha1
kind: Upstream
metadata: {name: redis}
spec: {endpoints: [{address: 10.0.0.1, port: 80}]}
---
apiVersion: breakwater.dev/v1alpha1
kind: Upstream
metadata: {name: web}
spec: {endpoints: [{address: 10.0.0.2, port: 80}], routes: [{name: quick, match: {path: /quick}}]}
---
apiVersion: breakwater.dev/v1alpha1
kind: Upstream
metadata: {name: two}
spec: {endpoints: [{address: 10.0.0.3, port: 80}, {address: 10.0.0.4, port: 80}]}
---
services: {redis: {recovery_timeout_seconds: 15}, two: {recovery_timeout_seconds: 15}}
`)},
		{Name: "mesh.yaml", Data: []byte(`apiVersion: breakwater.dev/v1alpha1
kind: BreakerPolicy
metadata: {name: mesh}
spec:
  targetRefs: [{kind: Mesh}]
  outlierDetection: {alwaysEjectOneEndpoint: true}
---
apiVersion: breakwater.dev/v1alpha1
kind: BreakerPolicy
metadata: {name: quick}
spec:
  targetRefs: [{kind: Upstream, name: web, sectionName: quick}]
  breaker: {waitDurationInOpenState: 5s}
`)},
	}, BuiltinDefaults())
	if len(diagnostics) > 0 {
		t.Fatal(diagnostics)
	}
	const head, why = "mesh.yaml:6: outlierDetection.baseEjectionTime: it is 30s, and the waitDurationInOpenState of ",
		": all its endpoints may be ejected, and until they are back half-open has none to probe"
	want := []string{head + "route quick of upstream web is 5s" + why, head + "upstream redis is 15s" + why}
	if got := set.Notes(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
