package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestTroubleshootingNamesTheColumn in which a list of breakers says that nobody heeds one, and
// who holds one.
func TestTroubleshootingNamesTheColumn(t *testing.T) {
	page, err := os.ReadFile("../../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		breaker  breakerView
		word     string
		sentence string // of the page, before the name of the column
	}{
		{breakerView{State: "open", Mode: "MetricsOnly"}, "MetricsOnly", "`MetricsOnly` or `Disabled`: the column "},
		{breakerView{State: "closed", Mode: "Disabled"}, "Disabled", "`MetricsOnly` or `Disabled`: the column "},
		{breakerView{State: "closed", Mode: "ForcedClosedByHand", Forced: &forcedView{By: "alice", Reason: "a drill"}}, "alice", "held closed by hand: the column "},
		{breakerView{State: "open", Cause: &transitionView{Reason: "failure_rate"}}, "failure_rate", "why it left closed: the column "},
	} {
		tt.breaker.Key = "payments"
		l := listing{breakers: []breakerView{tt.breaker}, now: time.Unix(1000, 0)}
		var table strings.Builder
		if err := l.writeTable(&table); err != nil {
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
