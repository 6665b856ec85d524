package gate

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
)

// load compiles a policy.
func load(t *testing.T, text string) *policy.Set {
	t.Helper()
	set, problems := policy.Parse([]policy.File{{Name: "policy.yaml", Data: []byte(text)}}, policy.BuiltinDefaults())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return set
}

// none is the windows of a policy in which no calls are looked at while they run.
var none = [wire.RunningWindows]Window{{breaker.MaxDuration, breaker.MaxDuration}}

// after returns the windows for some thresholds.
func after(thresholds ...time.Duration) (w [wire.RunningWindows]Window) {
	for i, t := range thresholds {
		w[i] = Window{t, t + wire.RunningSpan}
	}
	return w
}

// TestFilterFor shows that the filter has the lowest status that is a failure for an Adaptive breaker, and the shortest
// slow call of any breaker. It selects calls whose callers left only if these are failures for a breaker, and calls that run only where
// slow calls trip an Adaptive breaker.
func TestFilterFor(t *testing.T) {
	const upstreams = `
apiVersion: breakwater.dev/v1alpha1
kind: Upstream
metadata: {name: web}
spec: {endpoints: [{address: 10.0.0.1, port: 80}]}
---
apiVersion: breakwater.dev/v1alpha1
kind: Upstream
metadata: {name: db}
spec: {protocol: TCP, port: 5432, endpoints: [{address: 10.0.0.1, port: 80}]}
`
	on := func(spec string) string {
		return upstreams + "---\napiVersion: breakwater.dev/v1alpha1\nkind: BreakerPolicy\nmetadata: {name: web}\nspec: {targetRefs: [{kind: Upstream, name: web}], " + spec + "}\n"
	}
	several := upstreams // the one in the middle has the lowest status and the shortest slow call
	for i, spec := range []string{
		`breaker: {slowCallDurationThreshold: 3s}, classify: {failure: {statusCodes: ["503"]}}`,
		`breaker: {slowCallDurationThreshold: 1s}, classify: {failure: {statusCodes: ["429"]}}`,
		`breaker: {slowCallDurationThreshold: 4s}, classify: {failure: {statusCodes: ["500"]}}`,
	} {
		several += strings.NewReplacer("NAME", fmt.Sprint("several-", i), "SPEC", spec).Replace(`---
apiVersion: breakwater.dev/v1alpha1
kind: Upstream
metadata: {name: NAME}
spec: {endpoints: [{address: 10.0.0.1, port: 80}]}
---
apiVersion: breakwater.dev/v1alpha1
kind: BreakerPolicy
metadata: {name: NAME}
spec: {targetRefs: [{kind: Upstream, name: NAME}], SPEC}
`)
	}
	for name, tt := range map[string]struct {
		policy string
		want   LogFilter
	}{
		"no breaker of requests": {upstreams, LogFilter{}},
		"defaults":               {on("mode: Enforce"), LogFilter{Status: 500, Slow: 2 * time.Second, Running: after(2 * time.Second)}},
		"statuses":               {on(`classify: {failure: {statusCodes: ["429", "5xx"]}}`), LogFilter{Status: 429, Slow: 2 * time.Second, Running: after(2 * time.Second)}},
		"statuses, Inline":       {on(`dataPath: Inline, classify: {failure: {statusCodes: ["429", "5xx"]}}`), LogFilter{Status: 500, Slow: 2 * time.Second, Running: none}},
		"no rate":                {on(`breaker: {slowCallRateThreshold: 0%}`), LogFilter{Status: 500, Slow: 2 * time.Second, Running: none}},
		"nothing is slow":        {on(`breaker: {slowCallDurationThreshold: 0s}`), LogFilter{Status: 500, Slow: breaker.MaxDuration, Running: none}},
		"callers that left":      {on(`breaker: {slowCallDurationThreshold: 30ms}, classify: {clientGone: Failure}`), LogFilter{Status: 500, Slow: 30 * time.Millisecond, Gone: true, Running: after(30 * time.Millisecond)}},
		"several": {several, LogFilter{Status: 429, Slow: time.Second, Running: [wire.RunningWindows]Window{
			{time.Second, time.Second + wire.RunningSpan}, {3 * time.Second, 4*time.Second + wire.RunningSpan}, // the windows of 3 s and 4 s touch
		}}},
	} {
		if got := FilterFor(load(t, tt.policy)); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

// TestWindows shows that a call without a response is looked at after each threshold, however many there are. With no more thresholds than
// windows it is logged at most twice for each.
func TestWindows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		thresholds := rapid.SliceOfNDistinct(rapid.Int64Range(1, 100_000), 1, 12, rapid.ID).Draw(t, "thresholds")
		slices.Sort(thresholds)
		var sorted []time.Duration
		for _, ms := range thresholds {
			sorted = append(sorted, time.Duration(ms)*time.Millisecond)
		}
		windows := windowsOf(sorted)
		logged := 0
		seen := func(d time.Duration) bool {
			return slices.ContainsFunc(windows[:], func(w Window) bool { return w.From > 0 && d >= w.From && d <= w.Until })
		}
		for tick := wire.RunningInterval; tick < 2*time.Minute; tick += wire.RunningInterval + time.Duration(rapid.IntRange(0, 10).Draw(t, "late"))*time.Millisecond {
			if seen(tick) {
				logged++
			}
		}
		for _, d := range sorted {
			if !seen(d) || !seen(d+wire.RunningInterval) || !seen(d+wire.RunningSpan) {
				t.Errorf("%s is in none of %v", d, windows)
			}
		}
		if len(sorted) <= len(windows) && logged > 2*len(sorted) {
			t.Errorf("%d entries for %v in %v", logged, sorted, windows)
		}
	})
}
