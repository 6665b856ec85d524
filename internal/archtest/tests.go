package archtest

import (
	"go/ast"
	"go/build/constraint"
	"go/token"
	"slices"
	"strings"
)

// checkTests finds tests that can be skipped, that wait by sleeping, that a run of all tests leaves out, or that cannot fail.
func checkTests(t *tree) []finding {
	var fs []finding
	for _, p := range t.packages {
		for _, f := range p.files {
			fs = append(fs, sleeps(f)...)
			fs = append(fs, skips(f)...)
			if f.test {
				fs = append(fs, hidden(f)...)
				fs = append(fs, assertsNothing(f)...)
			}
		}
	}
	return fs
}

// sleeps finds time.Sleep. It is allowed in a bubble of synctest, where it advances the virtual clock, and in a program, which may
// wait for its reader.
func sleeps(f *file) []finding {
	if f.syntax.Name.Name == "main" && !f.test {
		return nil
	}
	var fs []finding
	synctest := f.imported("testing/synctest")
	f.uses("time", []string{"Sleep"}, func(sel *ast.SelectorExpr, stack []ast.Node) {
		inBubble := slices.ContainsFunc(stack, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			return ok && synctest != "" && isCallTo(call, synctest, "Test")
		})
		if !inBubble {
			fs = append(fs, f.finding(sel.Pos(), "sleep", "sleeping is slow when it is too long and flaky when it is too short; use testing/synctest, or wait for the condition with a deadline"))
		}
	})
	return fs
}

func isCallTo(call *ast.CallExpr, pkgName, function string) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != function {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == pkgName
}

// skips finds calls that skip a test, even in helpers.
func skips(f *file) []finding {
	if f.imported("testing") == "" {
		return nil
	}
	var fs []finding
	f.uses("testing", []string{"Short"}, func(sel *ast.SelectorExpr, _ []ast.Node) {
		fs = append(fs, f.finding(sel.Pos(), "skip", "every test runs every time; make it fast instead of asking for testing.Short"))
	})
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if sel, ok := call.Fun.(*ast.SelectorExpr); ok && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) {
			fs = append(fs, f.finding(call.Pos(), "skip", "a skipped test looks like one that passed; let it fail, saying what is missing"))
		}
		return true
	})
	return fs
}

// hidden finds test files with build constraints. A run of all tests does not build them: even a file for builds without the race
// detector is left out, since all tests run with it.
func hidden(f *file) []finding {
	if !slices.ContainsFunc(f.syntax.Decls, isTest) {
		return nil
	}
	for _, group := range f.syntax.Comments {
		for _, c := range group.List {
			if c.Pos() < f.syntax.Package && constraint.IsGoBuild(c.Text) {
				return []finding{f.finding(c.Pos(), "hidden-test", "tests behind a build constraint are not run with the others")}
			}
		}
	}
	return nil
}

func isTest(d ast.Decl) bool {
	fn, ok := d.(*ast.FuncDecl)
	return ok && fn.Recv == nil && (strings.HasPrefix(fn.Name.Name, "Test") && fn.Name.Name != "TestMain" || strings.HasPrefix(fn.Name.Name, "Fuzz"))
}

// assertsNothing finds tests that never use their *testing.T or *testing.F. They can fail only by a panic.
func assertsNothing(f *file) []finding {
	var fs []finding
	for _, d := range f.syntax.Decls {
		if !isTest(d) {
			continue
		}
		fn := d.(*ast.FuncDecl)
		if fn.Type.Params.NumFields() != 1 || mentions(fn.Body, fn.Type.Params.List[0].Names) {
			continue
		}
		fs = append(fs, f.finding(fn.Pos(), "asserts-nothing", "%s never uses its testing argument, so it asserts nothing", fn.Name.Name))
	}
	return fs
}

func mentions(body ast.Node, names []*ast.Ident) bool {
	found := false
	ast.Inspect(body, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && id.Pos() != token.NoPos {
			found = found || slices.ContainsFunc(names, func(name *ast.Ident) bool { return name.Name == id.Name })
		}
		return !found
	})
	return found
}
