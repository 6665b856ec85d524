package metrics

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"breakwater.dev/internal/exposition"
	"breakwater.dev/internal/typical"
)

// TestLoads: the metrics and the answer of /config have the result of the last load, and keep the policy in force.
func TestLoads(t *testing.T) {
	m := showing(these())
	check := func(after, series, shown string) {
		t.Helper()
		got := exposition.Lines(t, m, "breakwater_reload_") + exposition.Lines(t, m, "breakwater_policy_")
		if got := strings.NewReplacer("breakwater_reload_", "", "breakwater_", "", "\n", ", ").Replace(got); got != series {
			t.Errorf("after %s: %s, want %s", after, got, series)
		}
		text, err := json.Marshal(m.Load())
		if err != nil {
			t.Fatal(err)
		}
		if string(text) != shown {
			t.Errorf("after %s: %s, want %s", after, text, shown)
		}
	}
	const none = `{"revision":"","loaded_at":null,"last_reload":null}`
	check("nothing", `last_success_timestamp_seconds 0, last_successful 0, problems 0, total{result="refused"} 0, total{result="success"} 0, `, none)
	m.Refused(typical.Refusals()["failed"], typical.Start)
	check("a load without a policy", `last_success_timestamp_seconds 0, last_successful 0, problems 1, total{result="refused"} 1, total{result="success"} 0, `,
		`{"revision":"","loaded_at":null,"last_reload":{"at":"2026-03-01T11:00:00Z","result":"refused","problems":["read policies: open /etc/breakwater: no such file or directory"],"diagnostics":[]}}`)
	m.Apply(typical.Set("5f3a", "a"), typical.Start.Add(time.Second))
	check("a load", `last_success_timestamp_seconds 1.772362801e+09, last_successful 1, problems 0, total{result="refused"} 1, total{result="success"} 1, policy_info{revision="5f3a"} 1, `,
		`{"revision":"5f3a","loaded_at":"2026-03-01T11:00:01Z","last_reload":{"at":"2026-03-01T11:00:01Z","result":"success","problems":[],"diagnostics":[]}}`)
	m.Refused(typical.Refusals()["refused"], typical.Start.Add(time.Minute))
	check("one with problems", `last_success_timestamp_seconds 1.772362801e+09, last_successful 0, problems 2, total{result="refused"} 2, total{result="success"} 1, policy_info{revision="5f3a"} 1, `,
		`{"revision":"5f3a","loaded_at":"2026-03-01T11:00:01Z","last_reload":{"at":"2026-03-01T11:01:00Z","result":"refused","problems":[`+
			`"shop.yaml:7:3: spec.breaker.successThreshold = 0; must be a number from 1 to 1000000 [out-of-range]","stock.yaml: 12 MB; must be at most 10 MB [file-size]"],"diagnostics":[`+
			`{"file":"shop.yaml","line":7,"col":3,"path":"spec.breaker.successThreshold","got":"0","want":"a number from 1 to 1000000","rule":"out-of-range"},`+
			`{"file":"stock.yaml","line":0,"col":0,"path":"","got":"12 MB","want":"at most 10 MB","rule":"file-size"}]}}`)
}
