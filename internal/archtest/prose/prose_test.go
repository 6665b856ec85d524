package prose

import (
	"slices"
	"testing"
)

// TestRules holds each rule against its own examples.
func TestRules(t *testing.T) {
	names := map[string]bool{}
	for _, r := range rules {
		if names[r.name] {
			t.Errorf("there are two rules %s", r.name)
		}
		names[r.name] = true
		if !slices.ContainsFunc(checked(r.bad), func(f Finding) bool { return f.Rule == r.name }) {
			t.Errorf("rule %s does not find its bad example %q", r.name, r.bad)
		}
		if fs := checked(r.plain); len(fs) > 0 {
			t.Errorf("the plain example of rule %s is not plain:\n%v", r.name, fs)
		}
	}
}

// checked returns the findings in one paragraph.
func checked(text string) []Finding {
	p := Passage{Text: text, Lines: make([]int, len(text))}
	return p.Check()
}
