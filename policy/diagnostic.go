package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"breakwater.dev/policy/internal/yamlwalk"
)

// maxDiagnostics is how many problems are reported, so that a hostile file costs
// bounded memory.
const maxDiagnostics = 1000

// Diagnostic is one problem in the policy, at the place where it was written.
type Diagnostic struct {
	File string `json:"file"`
	Line int    `json:"line"` // from 1; 0 where the problem is the file as a whole
	Col  int    `json:"col"`
	Path string `json:"path"` // such as "spec.breaker.failureRateThreshold"; may be empty
	Got  string `json:"got"`
	Want string `json:"want"`
	Rule string `json:"rule"` // stable, such as "unknown-field"; tests and people match on it
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

// Diagnostics are all problems of one load, in order of file, line and column.
// Empty means that there are none.
type Diagnostics []Diagnostic

// Error prints one diagnostic a line.
func (ds Diagnostics) Error() string {
	lines := make([]string, len(ds))
	for i, d := range ds {
		lines[i] = d.String()
	}
	return strings.Join(lines, "\n")
}

// report adds a problem of a file. One that is found by two ways is one problem.
func (ds *Diagnostics) report(file string, p yamlwalk.Problem) {
	if len(*ds) > maxDiagnostics {
		return
	}
	*ds = append(*ds, Diagnostic{
		File: file, Line: p.Line, Col: p.Col, Path: p.Path, Got: p.Got, Want: p.Want, Rule: p.Rule,
	})
}

// sorted returns the diagnostics in order, each once.
func (ds Diagnostics) sorted() Diagnostics {
	tooMany := len(ds) > maxDiagnostics
	if tooMany {
		ds = ds[:maxDiagnostics]
	}
	slices.SortFunc(ds, func(a, b Diagnostic) int {
		return cmp.Or(
			strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col),
			strings.Compare(a.Path, b.Path), strings.Compare(a.Rule, b.Rule),
			strings.Compare(a.Got, b.Got), strings.Compare(a.Want, b.Want))
	})
	ds = slices.Compact(ds)
	if tooMany {
		ds = append(ds, Diagnostic{
			File: ds[len(ds)-1].File, Got: "more problems than are shown",
			Want: fmt.Sprintf("at most %d", maxDiagnostics), Rule: "too-many-problems",
		})
	}
	return ds
}
