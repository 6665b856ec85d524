package archtest

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"breakwater.dev/internal/archtest/table"
	"breakwater.dev/internal/golden"
)

// TestBudgetEdges shows that a size at its budget is allowed, and that a larger one is a finding.
func TestBudgetEdges(t *testing.T) {
	function := func(lines int) string {
		return "package a\n\nfunc F() {\n" + strings.Repeat("\tg()\n", lines-2) + "}\n"
	}
	parameters := func(n int) string {
		return "package a\n\nfunc F(" + strings.Repeat("int, ", n-1) + "int) {}\n"
	}
	fileOf := func(lines int) string { return "package a\n" + strings.Repeat("\n", lines-1) }
	tests := []struct {
		name, file, src string
		want            string
	}{
		{"file at its limit", "a/a.go", fileOf(400), ""},
		{"file over it", "a/a.go", fileOf(401), "a/a.go:1: the file has 401 lines, 400 are allowed; split it by what it does [long-file]\n"},
		{"test file over it", "a/a_test.go", fileOf(401), ""},
		{"function at its limit", "a/a.go", function(60), ""},
		{"function over it", "a/a.go", function(61), "a/a.go:3: the function has 61 lines, 60 are allowed; name its parts [long-function]\n"},
		{"test function at its limit", "a/a_test.go", function(80), ""},
		{"test function over it", "a/a_test.go", function(81), "a/a_test.go:3: the function has 81 lines, 80 are allowed; name its parts [long-function]\n"},
		{"parameters at the limit", "a/a.go", parameters(5), ""},
		{"parameters over it", "a/a.go", parameters(6), "a/a.go:3: 6 parameters, 5 are allowed; make them a struct [parameters]\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := lines(checkBudgets(example(t, []txtar.File{{Name: tt.file, Data: []byte(tt.src)}})))
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestPackageSizes shows the findings of the budget for packages, with a limit of 6 lines and with some exceptions.
func TestPackageSizes(t *testing.T) {
	allowed := []exception{{"any", "r"}, {"small", "r"}}
	golden.Run(t, filepath.Join("testdata", "packages", "*.txtar"), func(t *testing.T, in []txtar.File) map[string]string {
		return map[string]string{"findings": lines(checkPackageSizes(example(t, in), 6, allowed))}
	})
}

// TestPackageBudgetEdges shows that a package with 1,500 lines is allowed, and that a larger one is a finding.
func TestPackageBudgetEdges(t *testing.T) {
	for last, want := range map[int]string{
		300: "",
		301: "a/0.go:1: package a has 1501 lines without its tests; 1500 are allowed; split it by what a reader would look for [large-package]\n",
	} {
		var files []txtar.File
		for i := range 4 {
			files = append(files, txtar.File{Name: fmt.Sprintf("a/%d.go", i), Data: []byte("package a\n" + strings.Repeat("\n", 299))})
		}
		files = append(files, txtar.File{Name: "a/4.go", Data: []byte("package a\n" + strings.Repeat("\n", last-1))},
			txtar.File{Name: "a/a_test.go", Data: []byte("package a\n" + strings.Repeat("\n", 2000))})
		if got := lines(checkBudgets(example(t, files))); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestBadExceptions shows every possible mistake in the list of exceptions.
func TestBadExceptions(t *testing.T) {
	tr := example(t, []txtar.File{{Name: "a/a.go", Data: []byte("package a\n")}})
	want := []string{
		"the exception a has no reason",
		"the exception a is there twice",
		"the exception gone is about no package of the tree; delete it",
	}
	got := checkExceptions(tr, []exception{{"a", "r"}, {"a", ""}, {"gone", "r"}})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestBadTable shows every possible mistake in the import table.
func TestBadTable(t *testing.T) {
	rows := []table.Row{
		{Pkg: "low", Layer: 0, Reason: "r", Ours: []string{"high"}},
		{Pkg: "side", Layer: 1, Reason: "r", Ours: []string{"high"}},
		{Pkg: "high", Layer: 1, Reason: "r", Ours: []string{"low", "gone/...", "nowhere"}},
		{Pkg: "high", Layer: 1, Reason: "r"},
		{Pkg: "mute", Layer: 0},
		{Pkg: "gone/...", Layer: 0, Reason: "r"},
		{Pkg: "wired", Layer: 4, Reason: "r", Third: []string{"google.golang.org/grpc/codes"}},
		{Pkg: "served", Layer: 5, Reason: "r", Third: []string{"google.golang.org/grpc"}},
	}
	tr := example(t, []txtar.File{
		{Name: "low/a.go", Data: []byte("package low\n")},
		{Name: "side/a.go", Data: []byte("package side\n")},
		{Name: "high/a.go", Data: []byte("package high\n")},
		{Name: "mute/a.go", Data: []byte("package mute\n")},
		{Name: "gone/a.go", Data: []byte("package gone\n")},
		{Name: "wired/a.go", Data: []byte("package wired\n")},
		{Name: "served/a.go", Data: []byte("package served\n")},
	})
	want := []string{
		"row low of layer 0 allows high, of layer 1: a layer imports only lower ones",
		"row side of layer 1 allows high, of layer 1: a layer imports only lower ones",
		"row high allows nowhere, which has no row",
		"row high is there twice",
		"row mute has no reason",
		"row gone/... is about no package of the tree; delete it",
		"row wired of layer 4 allows google.golang.org/grpc/codes: up to layer 4 packages know breakers and policies, and no proxy, network or store",
	}
	if diff := cmp.Diff(want, checkTable(tr, rows)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestUnusedGrants shows that the table must not allow code what no code needs, and tests what no test needs.
func TestUnusedGrants(t *testing.T) {
	rows := []table.Row{
		{Pkg: "a", Ours: []string{"b", "c", "d/..."}, Third: []string{"example.org/used", "example.org/tested", "example.org/no"}, TestOurs: []string{"b", "c"}, TestThird: []string{"example.org/tested", "example.org/used"}},
		{Pkg: "onlytests", Ours: []string{"c"}},
	}
	tr := example(t, []txtar.File{
		{Name: "a/a.go", Data: []byte("package a\n\nimport (\n\t_ \"breakwater.dev/b\"\n\t_ \"breakwater.dev/d/e\"\n\t_ \"example.org/used/x\"\n)\n")},
		{Name: "a/a_test.go", Data: []byte("package a\n\nimport (\n\t_ \"breakwater.dev/c\"\n\t_ \"example.org/tested\"\n)\n")},
		{Name: "onlytests/a_test.go", Data: []byte("package onlytests\n\nimport _ \"breakwater.dev/c\"\n")},
	})
	want := []string{
		"row a allows c, which no code of it imports",
		"row a allows example.org/tested, which no code of it imports",
		"row a allows example.org/no, which no code of it imports",
		"row a allows b, which no test of it imports",
		"row a allows example.org/used, which no test of it imports",
	}
	if diff := cmp.Diff(want, unusedGrants(tr, rows)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestEveryRuleHasABadExample finds the rules in the source of this package, and fails if one of them has no example.
func TestEveryRuleHasABadExample(t *testing.T) {
	rules := map[string]bool{}
	for _, src := range contentsOf(t, "*.go") {
		for _, m := range regexp.MustCompile(`\.finding\([^"]*?, "([a-z-]+)",`).FindAllStringSubmatch(src, -1) {
			rules[m[1]] = true
		}
	}
	if len(rules) == 0 {
		t.Fatal("found no rule in the source")
	}
	examples := strings.Join(append(contentsOf(t, "testdata/*/*.txtar"), contentsOf(t, "rules_test.go")...), "")
	for _, rule := range slices.Sorted(maps.Keys(rules)) {
		if !strings.Contains(examples, fmt.Sprintf("[%s]\n", rule)) && !strings.Contains(examples, fmt.Sprintf(`[%s]\n"`, rule)) {
			t.Errorf("no example shows rule %s", rule)
		}
	}
}

// contentsOf returns the contents of all files that match a pattern.
func contentsOf(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	var contents []string
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		contents = append(contents, string(data))
	}
	return contents
}

func TestSplitWords(t *testing.T) {
	for name, want := range map[string][]string{
		"streamManagerV3":   {"stream", "manager", "v3"},
		"stream_utils_test": {"stream", "utils", "test"},
		"Simple":            {"simple"},
		"Implied":           {"implied"},
	} {
		if diff := cmp.Diff(want, splitWords(name)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}
