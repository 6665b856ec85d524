package archtest

import (
	"fmt"
	"slices"
	"strings"

	"breakwater.dev/internal/archtest/table"
)

// testKit has our packages that only tests may import. Every test may.
var testKit = []string{"internal/golden", "internal/envoybin", "internal/markdown", "internal/testca", "internal/exposition", "internal/typical", "internal/guard/guardtest", "internal/redistest", "store/internal/recordtest"}

// testLibraries has the modules of third parties that every test may import.
var testLibraries = []string{
	"github.com/google/go-cmp",
	"go.uber.org/goleak",
	"golang.org/x/tools",
	"pgregory.net/rapid",
}

// covers reports whether a pattern names a package. The pattern "dir/..." names all
// packages below dir.
func covers(pattern, pkgPath string) bool {
	if dir, ok := strings.CutSuffix(pattern, "/..."); ok {
		return strings.HasPrefix(pkgPath, dir+"/")
	}
	return pattern == pkgPath
}

// rowOf returns the row about a package, or nil.
func rowOf(rows []table.Row, pkgPath string) *table.Row {
	for i := range rows {
		if covers(rows[i].Pkg, pkgPath) {
			return &rows[i]
		}
	}
	return nil
}

// checkImports finds imports that the table does not allow.
func checkImports(t *tree, rows []table.Row) []finding {
	var fs []finding
	for _, p := range t.packages {
		r := rowOf(rows, p.path)
		if r == nil {
			f := p.files[0]
			fs = append(fs, f.finding(f.syntax.Package, "unknown-package",
				"package %s is not in the import table; add a row that says what it may import, and why", p.path))
			continue
		}
		for _, f := range p.files {
			for _, spec := range f.syntax.Imports {
				if spec.Name != nil && spec.Name.Name == "." {
					fs = append(fs, f.finding(spec.Pos(), "dot-import", "import . %q hides where names come from; name the package", importPath(spec)))
				}
				if wrong := refuses(r, p, f, importPath(spec)); wrong != "" {
					fs = append(fs, f.finding(spec.Pos(), "import", "%s %s: %s", p.path, wrong, r.Reason))
				}
			}
		}
	}
	return fs
}

// refuses returns the reason why an import is not allowed, or "".
func refuses(r *table.Row, p *pkg, f *file, imported string) string {
	first, _, _ := strings.Cut(imported, "/")
	switch ours, isOurs := cutModule(imported); {
	case isOurs:
		allowed := func(pattern string) bool { return covers(pattern, ours) }
		if ours == p.path || slices.ContainsFunc(r.Ours, allowed) || f.test && (slices.ContainsFunc(r.TestOurs, allowed) || slices.ContainsFunc(testKit, allowed)) {
			return ""
		}
		return fmt.Sprintf("may not import %s", ours)
	case !strings.Contains(first, "."):
		if r.Silent && !f.test && hasEffects(imported) {
			return fmt.Sprintf("does no I/O and draws no random numbers, so it may not import %s", imported)
		}
		return ""
	case p.ownModule || inModules(imported, r.Third) || f.test && (inModules(imported, r.TestThird) || inModules(imported, testLibraries)):
		return ""
	default:
		return fmt.Sprintf("may not import %s", imported)
	}
}

// cutModule returns the directory of a package. It reports false if the package is not in the main module.
func cutModule(imported string) (dir string, ok bool) {
	if imported == modulePath {
		return ".", true
	}
	return strings.CutPrefix(imported, modulePath+"/")
}

func inModules(imported string, modules []string) bool {
	return slices.ContainsFunc(modules, func(m string) bool { return within(m, imported) })
}

// hasEffects reports whether a package of the standard library does input or output, or draws random numbers.
func hasEffects(imported string) bool {
	switch imported {
	case "net/netip", "net/url": // they have only values
		return false
	}
	return inModules(imported, []string{"os", "net", "log", "syscall", "io/fs", "embed", "math/rand", "crypto/rand"})
}

// domainLayers is the highest layer of packages that know only breakers and policies. They must not depend on infrastructure, so
// that other proxies, networks and stores can be attached to them.
const domainLayers = 4

// infrastructure has the modules of third parties by which we reach proxies, networks and stores.
var infrastructure = []string{
	"github.com/envoyproxy", "google.golang.org/grpc", "google.golang.org/genproto", "github.com/redis", "k8s.io", "sigs.k8s.io",
}

// unusedGrants returns the imports that the table allows and that no file needs. An import that only tests need must be
// granted to tests. Where the code imports nothing, as beside the end-to-end tests, all grants are for tests.
func unusedGrants(t *tree, rows []table.Row) []string {
	var wrong []string
	for i := range rows {
		r := &rows[i]
		var code, tests []string // the imports of the row's packages
		for _, p := range t.packages {
			if rowOf(rows, p.path) != r {
				continue
			}
			for _, f := range p.files {
				for _, spec := range f.syntax.Imports {
					if f.test {
						tests = append(tests, importPath(spec))
					} else {
						code = append(code, importPath(spec))
					}
				}
			}
		}
		if len(code) == 0 {
			code = tests
		}
		isOurs := func(pattern, imported string) bool {
			dir, ok := cutModule(imported)
			return ok && covers(pattern, dir)
		}
		for _, grants := range []struct {
			by      string
			to      []string
			imports []string
			covers  func(grant, imported string) bool
		}{
			{"code", r.Ours, code, isOurs}, {"code", r.Third, code, within},
			{"test", r.TestOurs, tests, isOurs}, {"test", r.TestThird, tests, within},
		} {
			for _, grant := range grants.to {
				if !slices.ContainsFunc(grants.imports, func(imported string) bool { return grants.covers(grant, imported) }) {
					wrong = append(wrong, fmt.Sprintf("row %s allows %s, which no %s of it imports", r.Pkg, grant, grants.by))
				}
			}
		}
	}
	return wrong
}

// checkTable returns the mistakes in the table.
func checkTable(t *tree, rows []table.Row) []string {
	var wrong []string
	report := func(r *table.Row, format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("row %s ", r.Pkg)+fmt.Sprintf(format, args...))
	}
	for i := range rows {
		r := &rows[i]
		if r.Reason == "" {
			report(r, "has no reason")
		}
		if slices.ContainsFunc(rows[:i], func(other table.Row) bool { return other.Pkg == r.Pkg }) {
			report(r, "is there twice")
		}
		for _, ours := range r.Ours {
			switch other := rowOf(rows, strings.TrimSuffix(ours, "...")); {
			case other == nil:
				report(r, "allows %s, which has no row", ours)
			case other.Layer >= r.Layer:
				report(r, "of layer %d allows %s, of layer %d: a layer imports only lower ones", r.Layer, ours, other.Layer)
			}
		}
		for _, other := range r.Third {
			if r.Layer <= domainLayers && slices.ContainsFunc(infrastructure, func(m string) bool { return within(m, other) }) {
				report(r, "of layer %d allows %s: up to layer %d packages know breakers and policies, and no proxy, network or store", r.Layer, other, domainLayers)
			}
		}
		if !slices.ContainsFunc(t.packages, func(p *pkg) bool { return covers(r.Pkg, p.path) }) {
			report(r, "is about no package of the tree; delete it")
		}
	}
	return wrong
}
