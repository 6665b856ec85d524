package report

import (
	"strings"
	"testing"
)

func TestVerdicts(t *testing.T) {
	for _, tt := range []struct {
		target        Target
		want, verdict string
	}{
		{Target{Limit: 40, Measured: 40, Unit: "ns"}, "<= 40 ns", "met"},
		{Target{Limit: 40, Measured: 60, Unit: "ns"}, "<= 40 ns", "missed by 1.50x"},
		{Target{Limit: 3, AtLeast: true, Measured: 3, Unit: "x"}, ">= 3 x", "met"},
		{Target{Limit: 3, AtLeast: true, Measured: 2, Unit: "x"}, ">= 3 x", "missed by 1.50x"},
		{Target{Limit: 0, Measured: 0}, "<= 0", "met"},
		{Target{Limit: 0, Measured: 2}, "<= 0", "missed by 2"},
		{Target{Limit: 10, Measured: -1, Unit: "ns"}, "<= 10 ns", "met"},
	} {
		if got := tt.target.Verdict(); got != tt.verdict {
			t.Errorf("%+v: %q, want %q", tt.target, got, tt.verdict)
		}
		if got := tt.target.Want(); got != tt.want {
			t.Errorf("%+v: wants %q, want %q", tt.target, got, tt.want)
		}
	}
}

func TestTableLinesUp(t *testing.T) {
	var out strings.Builder
	Table(&out, []string{"", "a longer one"}, [][]string{{"µs", "1"}, {"second", "2"}})
	want := "" +
		"|        | a longer one |\n" +
		"|--------|--------------|\n" +
		"| µs     | 1            |\n" +
		"| second | 2            |\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.004: "0.00", 1.234: "1.23", 12.34: "12.3", 1234.5: "1234"} {
		if got := Number(v); got != want {
			t.Errorf("%g is printed as %q, want %q", v, got, want)
		}
	}
}

// TestTargets: each target has a line with its limit, its figure and the verdict.
func TestTargets(t *testing.T) {
	var out strings.Builder
	Targets(&out, []Target{{What: "bytes", Limit: 100, Measured: 150, Unit: "B"}})
	if got := out.String(); !strings.Contains(got, "| bytes | <= 100 B | 150 B    | missed by 1.50x |") {
		t.Errorf("got\n%s", got)
	}
}
