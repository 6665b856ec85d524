package telemetry

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// documented is a row of docs/metrics.md: the name, then the labels and the type.
var documented = regexp.MustCompile("(?m)^\\| `([a-z_]+)(.*?)` \\| ([a-z]+) \\|")

// TestMetricsAreDocumented: docs/metrics.md has each metric once, with its labels and its type, and no other.
func TestMetricsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, m := range documented.FindAllStringSubmatch(string(page), -1) {
		if _, twice := rows[m[1]]; twice {
			t.Errorf("docs/metrics.md has %s twice; remove one row", m[1])
		}
		rows[m[1]] = fmt.Sprintf("| `%s%s` | %s |", m[1], m[2], m[3])
	}
	for _, f := range own(t, typical()) {
		labels := ""
		if l := f.GetMetric()[0].GetLabel(); len(l) > 0 {
			var names []string
			for _, pair := range l {
				names = append(names, pair.GetName())
			}
			labels = "{" + strings.Join(names, ",") + "}"
		}
		want := fmt.Sprintf("| `%s%s` | %s |", f.GetName(), labels, strings.ToLower(f.GetType().String()))
		if got := rows[f.GetName()]; got != want {
			t.Errorf("docs/metrics.md should have a row that begins with\n\t%s\nit has %q", want, got)
		}
		delete(rows, f.GetName())
	}
	if len(rows) > 0 {
		t.Errorf("remove from docs/metrics.md the metrics that do not exist: %v", slices.Sorted(maps.Keys(rows)))
	}
}
