package policy

import (
	"fmt"

	"breakwater.dev/policy/internal/yamlwalk"
)

// findings are problems and notes, found while one object is read, one upstream is compiled, or all objects
// are compared.
type findings struct {
	ledger
	notes   []string // lines about settings that are right but may surprise
	reports int      // how many problems were reported
	// trial, while a policy is only tried out, takes the problems in place of the ledger.
	trial *[]Diagnostic
}

// fail reports a value at its place.
func (fs *findings) fail(p place, want, rule string) {
	fs.failAs(p, p.Got(), want, rule)
}

// failAs reports a value, and got in place of what is written there.
func (fs *findings) failAs(p place, got, want, rule string) {
	fs.report(p.from, p.Problem(got, want, rule))
}

// report adds a problem of an object.
func (fs *findings) report(o *Object, p yamlwalk.Problem) {
	fs.reports++
	d := o.diagnostic(p)
	switch {
	case fs.trial == nil:
		fs.add(o, d)
	case len(*fs.trial) < leastDiagnostics:
		*fs.trial = append(*fs.trial, d)
	}
}

// note adds a line about a setting that is right but may surprise. It adds none for a policy that is only
// tried out.
func (fs *findings) note(at place, format string, args ...any) {
	if fs.trial == nil {
		fs.notes = append(fs.notes, fmt.Sprintf("%s: %s", at, fmt.Sprintf(format, args...)))
	}
}

// take adds the findings in other.
func (fs *findings) take(other *findings) {
	fs.ledger.take(&other.ledger)
	fs.notes = append(fs.notes, other.notes...)
	fs.reports += other.reports
}
