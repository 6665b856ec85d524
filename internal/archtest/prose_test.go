package archtest

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// debtFile lists the packages and pages that still have bad habits of prose, each with the number of findings.
var debtFile = filepath.Join("testdata", "prose-debt.txt")

// TestProse fails when a package or a page has more findings than its debt, and when it has fewer and the
// debt was not lowered. With -update it lowers the debts, and moves them when packages are renamed or split,
// but it never lets their sum grow.
func TestProse(t *testing.T) {
	found := map[string][]finding{}
	for _, f := range checkProse(repository(t)) {
		place := f.file // a page
		if strings.HasSuffix(place, ".go") {
			place = path.Dir(place)
		}
		found[place] = append(found[place], f)
	}
	debts := readDebts(t)
	if flag.Lookup("update").Value.String() == "true" {
		writeDebts(t, debts, found)
		return
	}
	places := maps.Clone(debts)
	for place := range found {
		places[place] = 0
	}
	for _, place := range slices.Sorted(maps.Keys(places)) {
		switch got, owed := len(found[place]), debts[place]; {
		case got > owed:
			t.Errorf("%s has %d sentences in bad habits, and %d are allowed; write in plain English what you have added:\n%s",
				place, got, owed, lines(found[place]))
		case got < owed:
			t.Errorf("%s has %d sentences in bad habits, and %s says %d; run this test with -update", place, got, debtFile, owed)
		}
	}
}

func readDebts(t *testing.T) map[string]int {
	t.Helper()
	text, err := os.ReadFile(debtFile)
	if err != nil {
		t.Fatal(err)
	}
	debts := map[string]int{}
	for line := range strings.Lines(string(text)) {
		var place string
		var n int
		if _, err := fmt.Sscan(line, &place, &n); err != nil || n < 1 {
			t.Fatalf("%s: %q is not a place and a number above 0", debtFile, line)
		}
		debts[place] = n
	}
	return debts
}

func writeDebts(t *testing.T, debts map[string]int, found map[string][]finding) {
	t.Helper()
	var text strings.Builder
	before, after := 0, 0
	for _, n := range debts {
		before += n
	}
	for _, place := range slices.Sorted(maps.Keys(found)) {
		after += len(found[place])
		fmt.Fprintf(&text, "%s %d\n", place, len(found[place]))
	}
	if after > before {
		t.Fatalf("there are %d sentences in bad habits, and %s allows %d; run this test without -update to see them", after, debtFile, before)
	}
	if err := os.WriteFile(debtFile, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
