package archtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"breakwater.dev/internal/archtest/table"
	"breakwater.dev/internal/golden"
)

// checks has all checks of a tree, by the names of their directories of bad examples below testdata.
var checks = map[string]func(*tree) []finding{
	"imports":  func(t *tree) []finding { return checkImports(t, table.Rows) },
	"purity":   func(t *tree) []finding { return checkPurity(t, table.Rows) },
	"budgets":  checkBudgets,
	"docs":     checkDocs,
	"tests":    checkTests,
	"groups":   func(t *tree) []finding { return checkGroups(t, groups) },
	"names":    checkNames,
	"prose":    checkProse,
	"contract": checkContract,
}

// repository loads this repository.
func repository(t *testing.T) *tree {
	t.Helper()
	root := filepath.Join("..", "..")
	gomod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(gomod), "module "+modulePath+"\n") {
		t.Fatalf("%s is not the root of module %s", root, modulePath)
	}
	tr, err := load(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// TestRepository checks the repository.
func TestRepository(t *testing.T) {
	tr := repository(t)
	for name, check := range checks {
		t.Run(name, func(t *testing.T) {
			for _, f := range check(tr) {
				t.Error(f)
			}
		})
	}
}

// TestTable checks that the import table is consistent, that its packages exist, and that they need what it allows.
func TestTable(t *testing.T) {
	tr := repository(t)
	for _, wrong := range append(checkTable(tr, table.Rows), unusedGrants(tr, table.Rows)...) {
		t.Error(wrong)
	}
}

// TestExceptions checks that the exceptions from the budgets are consistent, and that their packages exist.
func TestExceptions(t *testing.T) {
	for _, wrong := range checkExceptions(repository(t), exceptions) {
		t.Error(wrong)
	}
}

// TestGroupsExist checks that each pattern of a group matches a file of the repository.
func TestGroupsExist(t *testing.T) {
	for _, missing := range unmatched(repository(t), groups) {
		t.Error(missing)
	}
}

// TestRules shows the findings of every check in small bad examples.
func TestRules(t *testing.T) {
	for name, check := range checks {
		t.Run(name, func(t *testing.T) {
			golden.Run(t, filepath.Join("testdata", name, "*.txtar"), func(t *testing.T, in []txtar.File) map[string]string {
				return map[string]string{"findings": lines(check(example(t, in)))}
			})
		})
	}
}

// example loads a tree from the files of a case.
func example(t *testing.T, in []txtar.File) *tree {
	t.Helper()
	fsys, err := txtar.FS(&txtar.Archive{Files: in})
	if err != nil {
		t.Fatal(err)
	}
	tr, err := load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// lines returns findings as text, one on each line.
func lines(fs []finding) string {
	var b strings.Builder
	for _, f := range fs {
		b.WriteString(f.String() + "\n")
	}
	return b.String()
}
