package archtest

import (
	"fmt"
	"slices"
	"strings"
)

// row says what one package, or a tree of packages, may import, and why.
type row struct {
	// pkg is a directory; "dir/..." is all directories below it, but not dir.
	pkg string
	// layer orders packages. A package imports only packages of lower layers, so siblings never import one another, and there
	// are no cycles.
	layer int
	// ours has the packages of this module that it may import; "dir/..." as in pkg.
	ours []string
	// third has the modules of third parties that it may import.
	third []string
	// testOurs has more packages of this module, which only its tests may import.
	testOurs []string
	// testThird has more modules of third parties, which only its tests may import.
	testThird []string
	// pure packages read no clock and start no goroutine: time is an argument.
	pure bool
	// silent packages also do no input or output, and draw no random numbers.
	silent bool
	reason string
}

// testKit has our packages that only tests may import. Every test may.
var testKit = []string{"internal/golden", "internal/envoybin", "internal/markdown", "internal/testca", "internal/exposition", "internal/typical", "internal/guard/guardtest"}

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
func rowOf(rows []row, pkgPath string) *row {
	for i := range rows {
		if covers(rows[i].pkg, pkgPath) {
			return &rows[i]
		}
	}
	return nil
}

// checkImports finds imports that the table does not allow.
func checkImports(t *tree, rows []row) []finding {
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
				if wrong := r.refuses(p, f, importPath(spec)); wrong != "" {
					fs = append(fs, f.finding(spec.Pos(), "import", "%s %s: %s", p.path, wrong, r.reason))
				}
			}
		}
	}
	return fs
}

// refuses returns the reason why an import is not allowed, or "".
func (r *row) refuses(p *pkg, f *file, imported string) string {
	first, _, _ := strings.Cut(imported, "/")
	switch ours, isOurs := cutModule(imported); {
	case isOurs:
		allowed := func(pattern string) bool { return covers(pattern, ours) }
		if ours == p.path || slices.ContainsFunc(r.ours, allowed) || f.test && (slices.ContainsFunc(r.testOurs, allowed) || slices.ContainsFunc(testKit, allowed)) {
			return ""
		}
		return fmt.Sprintf("may not import %s", ours)
	case !strings.Contains(first, "."):
		if r.silent && !f.test && hasEffects(imported) {
			return fmt.Sprintf("does no I/O and draws no random numbers, so it may not import %s", imported)
		}
		return ""
	case p.ownModule || inModules(imported, r.third) || f.test && (inModules(imported, r.testThird) || inModules(imported, testLibraries)):
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
func unusedGrants(t *tree, rows []row) []string {
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
			{"code", r.ours, code, isOurs}, {"code", r.third, code, within},
			{"test", r.testOurs, tests, isOurs}, {"test", r.testThird, tests, within},
		} {
			for _, grant := range grants.to {
				if !slices.ContainsFunc(grants.imports, func(imported string) bool { return grants.covers(grant, imported) }) {
					wrong = append(wrong, fmt.Sprintf("row %s allows %s, which no %s of it imports", r.pkg, grant, grants.by))
				}
			}
		}
	}
	return wrong
}

// checkTable returns the mistakes in the table.
func checkTable(t *tree, rows []row) []string {
	var wrong []string
	report := func(r *row, format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("row %s ", r.pkg)+fmt.Sprintf(format, args...))
	}
	for i := range rows {
		r := &rows[i]
		if r.reason == "" {
			report(r, "has no reason")
		}
		if slices.ContainsFunc(rows[:i], func(other row) bool { return other.pkg == r.pkg }) {
			report(r, "is there twice")
		}
		for _, ours := range r.ours {
			switch other := rowOf(rows, strings.TrimSuffix(ours, "...")); {
			case other == nil:
				report(r, "allows %s, which has no row", ours)
			case other.layer >= r.layer:
				report(r, "of layer %d allows %s, of layer %d: a layer imports only lower ones", r.layer, ours, other.layer)
			}
		}
		for _, other := range r.third {
			if r.layer <= domainLayers && slices.ContainsFunc(infrastructure, func(m string) bool { return within(m, other) }) {
				report(r, "of layer %d allows %s: up to layer %d packages know breakers and policies, and no proxy, network or store", r.layer, other, domainLayers)
			}
		}
		if !slices.ContainsFunc(t.packages, func(p *pkg) bool { return covers(r.pkg, p.path) }) {
			report(r, "is about no package of the tree; delete it")
		}
	}
	return wrong
}
