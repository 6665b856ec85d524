package cli

import (
	"os"
	"strings"
	"testing"
	"time"

	"breakwater.dev/api"
)

// TestTroubleshootingNamesTheColumn: the page names the columns in which a list of breakers has the mode and the operator.
func TestTroubleshootingNamesTheColumn(t *testing.T) {
	page, err := os.ReadFile("../../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		breaker  api.Breaker
		word     string
		sentence string // on the page, before the name of the column
	}{
		{api.Breaker{State: "open", Mode: "MetricsOnly"}, "MetricsOnly", "`MetricsOnly` or `Disabled`: the column "},
		{api.Breaker{State: "closed", Mode: "Disabled"}, "Disabled", "`MetricsOnly` or `Disabled`: the column "},
		{api.Breaker{State: "closed", Mode: "ForcedClosedByHand", Forced: &api.Forced{By: "alice", Reason: "a drill"}}, "alice", "held closed by hand: the column "},
		{api.Breaker{State: "open", Cause: &api.Transition{Reason: "failure_rate"}}, "failure_rate", "why it left closed: the column "},
	} {
		tt.breaker.Key = "payments"
		l := Listing{Breakers: []api.Breaker{tt.breaker}, Answer: api.Answer{At: time.Unix(1000, 0)}}
		var table strings.Builder
		if err := WriteTable(&table, &l); err != nil {
			t.Fatal(err)
		}
		head, line, _ := strings.Cut(table.String(), "\n")
		at := strings.Index(line, tt.word)
		if at < 0 {
			t.Fatalf("no %s in\n%s", tt.word, table.String())
		}
		column := ""
		for _, name := range strings.Fields(head) {
			if strings.Index(head, name) <= at {
				column = name
			}
		}
		if !strings.Contains(string(page), tt.sentence+column) {
			t.Errorf("docs/troubleshooting.md does not say %q, where %s is", tt.sentence+column, tt.word)
		}
	}
}
