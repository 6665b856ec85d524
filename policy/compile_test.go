package policy_test

import (
	"cmp"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"breakwater.dev/internal/golden"
	"breakwater.dev/policy"
)

// Each case has objects of which some have problems, the result of each, and the policies that shape each
// breaker.
func TestResults(t *testing.T) {
	golden.Run(t, "testdata/results/*.txtar", func(t *testing.T, in []txtar.File) map[string]string {
		set, results := policy.Compile(policy.Objects(files(in)), policy.BuiltinDefaults())
		return map[string]string{"results": resultsText(results), "breakers": breakersText(set)}
	})
}

func resultsText(results []policy.Result) string {
	var b strings.Builder
	for _, r := range results {
		state := "in force"
		switch {
		case !r.InForce:
			state = "refused"
		case len(r.Diagnostics) > 0:
			state = "in force in part"
		}
		fmt.Fprintf(&b, "%s: %s\n", cmp.Or(r.Object.ID.String(), "not readable"), state)
		for _, d := range r.Diagnostics {
			fmt.Fprintf(&b, "  %s\n", d)
		}
	}
	return b.String()
}

// breakersText shows which policies shape the breakers of each upstream.
func breakersText(set *policy.Set) string {
	var b strings.Builder
	for u, r := range set.Routes() {
		name := u.Name
		if r.Name != "" {
			name += "/" + r.Name
		}
		fmt.Fprintf(&b, "%s:", name)
		if r.Breaker != nil {
			for _, o := range r.Breaker.Origins {
				fmt.Fprintf(&b, " %s", o.Name)
			}
			if f := r.Breaker.Fallback.Upstream; f != nil {
				fmt.Fprintf(&b, ", falls back to %s", f.Name)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}
