package archtest

import (
	"go/ast"
)

// The budgets. A function is counted from its first line to its last; so is a file.
const (
	maxFileLines     = 400
	maxFunctionLines = 60
	maxParameters    = 5
	// maxTestLines bounds a function of a test file, which tells a story from top to
	// bottom, or begins with its table of cases.
	maxTestLines = 80
)

// checkBudgets finds files, functions and parameter lists that are too long.
// Test files may be long: they grow by adding cases.
func checkBudgets(t *tree) []finding {
	var fs []finding
	for _, p := range t.packages {
		for _, f := range p.files {
			if !f.test && f.lines > maxFileLines {
				fs = append(fs, f.finding(f.syntax.Package, "long-file", "the file has %d lines, %d are allowed; split it by what it does", f.lines, maxFileLines))
			}
			fs = append(fs, functionBudgets(f)...)
		}
	}
	return fs
}

func functionBudgets(f *file) []finding {
	var fs []finding
	limit := maxFunctionLines
	if f.test {
		limit = maxTestLines
	}
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl, *ast.FuncLit:
			if lines := f.line(n.End()) - f.line(n.Pos()) + 1; lines > limit {
				fs = append(fs, f.finding(n.Pos(), "long-function", "the function has %d lines, %d are allowed; name its parts", lines, limit))
			}
		case *ast.FuncType:
			if params := n.Params.NumFields(); params > maxParameters {
				fs = append(fs, f.finding(n.Pos(), "parameters", "%d parameters, %d are allowed; make them a struct", params, maxParameters))
			}
		}
		return true
	})
	return fs
}
