package gate

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
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

// TestFilterFor shows that the filter has the lowest status that is a failure for an Adaptive breaker, and the shortest
// slow call of any breaker. It selects calls whose callers left only if these are failures for a breaker.
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
---
apiVersion: breakwater.dev/v1alpha1
kind: BreakerPolicy
metadata: {name: db}
spec: {targetRefs: [{kind: Upstream, name: db}], breaker: {slowCallDurationThreshold: 1ms}}
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
		"defaults":               {on("mode: Enforce"), LogFilter{Status: 500, Slow: 2 * time.Second}},
		"statuses":               {on(`classify: {failure: {statusCodes: ["429", "5xx"]}}`), LogFilter{Status: 429, Slow: 2 * time.Second}},
		"statuses, Inline":       {on(`dataPath: Inline, classify: {failure: {statusCodes: ["429", "5xx"]}}`), LogFilter{Status: 500, Slow: 2 * time.Second}},
		"nothing is slow":        {on(`breaker: {slowCallDurationThreshold: 0s}`), LogFilter{Status: 500, Slow: breaker.MaxDuration}},
		"callers that left":      {on(`breaker: {slowCallDurationThreshold: 30ms}, classify: {clientGone: Failure}`), LogFilter{Status: 500, Slow: 30 * time.Millisecond, Gone: true}},
		"several":                {several, LogFilter{Status: 429, Slow: time.Second}},
	} {
		if got := FilterFor(load(t, tt.policy)); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}
