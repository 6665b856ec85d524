// Package report prints tables in Markdown, and holds figures against our targets.
//
// In: rows of text, and figures with their targets.
// Out: Markdown whose columns line up as plain text, too.
// Called by: the benchmarks.
// Never: measures anything.
// Concurrency: functions of their arguments only.
package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Table writes a table in Markdown whose columns line up as plain text, too.
func Table(w io.Writer, head []string, lines [][]string) {
	widths := make([]int, len(head))
	for _, line := range append([][]string{head}, lines...) {
		for i, text := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(text), 3)
		}
	}
	write := func(line []string, fill string) {
		for i, text := range line {
			fmt.Fprintf(w, "|%s%s%s%s", fill, text, strings.Repeat(fill, widths[i]-utf8.RuneCountInString(text)), fill)
		}
		fmt.Fprintln(w, "|")
	}
	write(head, " ")
	write(make([]string, len(head)), "-")
	for _, line := range lines {
		write(line, " ")
	}
}

// Number prints three digits of small numbers, and no fractions of large ones.
func Number(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.0f", v)
	}
}

// Target is a figure that we want to reach. A missed target is only shown, because the machine may be slow or busy.
type Target struct {
	What     string
	Limit    float64
	AtLeast  bool // the limit is a minimum; otherwise it is a maximum
	Measured float64
	Unit     string
}

// Verdict returns "met", or by how much the target was missed.
func (t Target) Verdict() string {
	met, by := t.Measured <= t.Limit, t.Measured/t.Limit
	if t.AtLeast {
		met, by = t.Measured >= t.Limit, t.Limit/t.Measured
	}
	switch {
	case met:
		return "met"
	case t.Limit == 0:
		return "missed by " + strings.TrimSpace(fmt.Sprintf("%.3g %s", t.Measured, t.Unit))
	default:
		return fmt.Sprintf("missed by %.2fx", by)
	}
}

// Want returns the limit with its sign and unit.
func (t Target) Want() string {
	sign := "<="
	if t.AtLeast {
		sign = ">="
	}
	return strings.TrimSpace(fmt.Sprintf("%s %g %s", sign, t.Limit, t.Unit))
}

// Targets writes a table of targets under a heading.
func Targets(w io.Writer, all []Target) {
	fmt.Fprintf(w, "\n## Targets\n\n")
	var lines [][]string
	for _, t := range all {
		measured := strings.TrimSpace(Number(t.Measured) + " " + t.Unit)
		lines = append(lines, []string{t.What, t.Want(), measured, t.Verdict()})
	}
	Table(w, []string{"", "target", "measured", ""}, lines)
}
