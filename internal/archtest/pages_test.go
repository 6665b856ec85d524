package archtest

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"breakwater.dev/internal/archtest/table"
	"breakwater.dev/internal/markdown"
)

// architecture is the page that describes the whole tree.
const architecture = "docs/architecture.md"

// page returns a page of the repository.
func (t *tree) page(tb testing.TB, name string) *markdown.Page {
	tb.Helper()
	i := slices.IndexFunc(t.pages, func(p markdown.Page) bool { return p.Path == name })
	if i < 0 {
		tb.Fatalf("there is no %s", name)
	}
	return &t.pages[i]
}

// TestArchitectureIsCurrent compares the generated parts of the architecture page with the import table
// and with the names of the tests. -update rewrites them.
func TestArchitectureIsCurrent(t *testing.T) {
	tr := repository(t)
	old := tr.page(t, architecture).Text
	text := old
	for name, part := range map[string]string{"layers": layersPart(table.Rows), "tests of the rules": rulesPart(ruleTests(tr))} {
		var err error
		if text, err = replacePart(text, name, part); err != nil {
			t.Fatalf("%s: %v", architecture, err)
		}
	}
	if text == old {
		return
	}
	if flag.Lookup("update").Value.String() != "true" {
		t.Fatalf("%s differs from the source; run this test with -update", architecture)
	}
	if err := os.WriteFile(filepath.Join("..", "..", filepath.FromSlash(architecture)), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// replacePart replaces the text between the comments that mark a generated part of a page.
func replacePart(text, name, part string) (string, error) {
	begin, end := "<!-- generated: "+name+" -->\n", "<!-- end: "+name+" -->\n"
	before, rest, found := strings.Cut(text, begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		return "", fmt.Errorf("the page has no part between %q and %q", begin, end)
	}
	return before + begin + "\n" + part + "\n" + end + after, nil
}

// layersPart returns the import table in Markdown, with the lowest layer first.
func layersPart(rows []table.Row) string {
	var b strings.Builder
	b.WriteString("| layer | package | is | may import of ours | and of others | because |\n|---|---|---|---|---|---|\n")
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(x, y table.Row) int { return cmp.Or(cmp.Compare(x.Layer, y.Layer), cmp.Compare(x.Pkg, y.Pkg)) })
	for _, r := range rows {
		var is []string
		if r.Pure {
			is = append(is, "pure")
		}
		if r.Silent {
			is = append(is, "silent")
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s | %s |\n", r.Layer, packageName(r.Pkg), strings.Join(is, ", "),
			joined(r.Ours, packageName), joined(r.Third, moduleName), r.Reason)
	}
	return b.String()
}

// packageName returns a pattern of the table in words.
func packageName(pattern string) string {
	if dir, ok := strings.CutSuffix(pattern, "/..."); ok {
		return "below `" + dir + "`"
	}
	return "`" + pattern + "`"
}

var version = regexp.MustCompile(`/v\d+$`)

// moduleName returns the short name of a module.
func moduleName(module string) string {
	return path.Base(strings.TrimSuffix(version.ReplaceAllString(module, ""), "/envoy"))
}

func joined(names []string, name func(string) string) string {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = name(n)
	}
	return strings.Join(all, ", ")
}

var ruleTest = regexp.MustCompile(`^TestRule(\d+)[A-Z]`)

// ruleTests returns the tests of each numbered rule, with the file of each test.
func ruleTests(t *tree) map[int]map[string]string {
	all := map[int]map[string]string{}
	for _, p := range t.packages {
		for _, f := range p.files {
			for _, name := range f.functions() {
				m := ruleTest.FindStringSubmatch(name)
				if m == nil {
					continue
				}
				n, _ := strconv.Atoi(m[1]) // the expression matched digits
				if all[n] == nil {
					all[n] = map[string]string{}
				}
				all[n][name] = f.name
			}
		}
	}
	return all
}

// rulesPart returns a table of the rules, with links to their tests.
func rulesPart(tests map[int]map[string]string) string {
	var b strings.Builder
	b.WriteString("| rule | tests |\n|---|---|\n")
	for _, n := range slices.Sorted(maps.Keys(tests)) {
		var links []string
		for _, name := range slices.Sorted(maps.Keys(tests[n])) {
			links = append(links, fmt.Sprintf("[%s](../%s)", strings.TrimPrefix(name, fmt.Sprintf("TestRule%d", n)), tests[n][name]))
		}
		fmt.Fprintf(&b, "| %d | %s |\n", n, strings.Join(links, ", "))
	}
	return b.String()
}

var numberedRule = regexp.MustCompile(`(?m)^(\d+)\. \*\*`)

// TestRulesAreNumbered checks that each rule on the architecture page has a test, and that the page has the rule of each test
// that is named after one.
func TestRulesAreNumbered(t *testing.T) {
	tr := repository(t)
	_, section, _ := strings.Cut(tr.page(t, architecture).Prose, "\n## The rules of a breaker\n")
	section, _, _ = strings.Cut(section, "\n## ")
	tests, rules := ruleTests(tr), map[int]bool{}
	for _, m := range numberedRule.FindAllStringSubmatch(section, -1) {
		n, _ := strconv.Atoi(m[1]) // the expression matched digits
		rules[n] = true
		if len(tests[n]) == 0 {
			t.Errorf("%s has rule %d, and no test is called TestRule%d...", architecture, n, n)
		}
	}
	for n, named := range tests {
		if !rules[n] {
			t.Errorf("%s has no rule %d, and there are tests of it: %v", architecture, n, slices.Sorted(maps.Keys(named)))
		}
	}
}

var directory = regexp.MustCompile("`([a-z0-9_./-]+/)`")

// TestMapIsComplete checks that the table of directories in CONTRIBUTING.md has every package, and that the directory of every
// row exists.
func TestMapIsComplete(t *testing.T) {
	tr := repository(t)
	_, section, _ := strings.Cut(tr.page(t, "CONTRIBUTING.md").Prose, "\n## Where things are\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var rows []string
	for line := range strings.Lines(section) {
		if first, _, ok := strings.Cut(strings.TrimPrefix(line, "|"), "|"); ok && strings.HasPrefix(line, "|") {
			for _, m := range directory.FindAllStringSubmatch(first, -1) {
				rows = append(rows, strings.TrimSuffix(m[1], "/"))
			}
		}
	}
	for _, dir := range rows {
		if info, err := os.Stat(filepath.Join("..", "..", filepath.FromSlash(dir))); err != nil || !info.IsDir() {
			t.Errorf("CONTRIBUTING.md has a row for %s/, which is no directory", dir)
		}
	}
	for _, p := range tr.packages {
		if !slices.ContainsFunc(rows, func(dir string) bool { return within(dir, p.path) }) {
			t.Errorf("CONTRIBUTING.md has no row for %s/; say there what it is for", p.path)
		}
	}
}
