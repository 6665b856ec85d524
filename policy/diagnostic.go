package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Diagnostic is one problem in the policy, at the place where it was written.
type Diagnostic struct {
	File string `json:"file"` // or the id of an object that is not from a file
	Line int    `json:"line"` // from 1; 0 if the problem is the file or object as a whole, or lines mean nothing there
	Col  int    `json:"col"`  // from 1; 0 if Line is 0
	Path string `json:"path"` // such as "spec.breaker.failureRateThreshold"; may be empty
	Got  string `json:"got"`
	Want string `json:"want"`
	Rule string `json:"rule"` // stable, such as "unknown-field"; tests and operators match on it
}

// String prints "file:line:col: path = got; must be want [rule]".
func (d Diagnostic) String() string {
	var b strings.Builder
	b.WriteString(d.File)
	if d.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", d.Line, d.Col)
	}
	b.WriteString(": ")
	if d.Path != "" {
		fmt.Fprintf(&b, "%s = ", d.Path)
	}
	fmt.Fprintf(&b, "%s; must be %s [%s]", d.Got, d.Want, d.Rule)
	return b.String()
}

// Diagnostics are problems in order of file, line and column, each once. Empty means that there are none.
type Diagnostics []Diagnostic

// Error prints one diagnostic a line.
func (ds Diagnostics) Error() string {
	lines := make([]string, len(ds))
	for i, d := range ds {
		lines[i] = d.String()
	}
	return strings.Join(lines, "\n")
}

// sorted returns the diagnostics in order, each once. If there are more than these, a last one says so.
func (ds Diagnostics) sorted(more bool) Diagnostics {
	slices.SortFunc(ds, func(a, b Diagnostic) int {
		return cmp.Or(
			strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col),
			strings.Compare(a.Path, b.Path), strings.Compare(a.Rule, b.Rule),
			strings.Compare(a.Got, b.Got), strings.Compare(a.Want, b.Want))
	})
	ds = slices.Compact(ds)
	if more {
		ds = append(ds, Diagnostic{
			File: ds[len(ds)-1].File, Got: "more problems than are shown",
			Want: fmt.Sprintf("at most %d", maxDiagnostics), Rule: "too-many-problems",
		})
	}
	return ds
}
