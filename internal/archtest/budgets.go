package archtest

import (
	"fmt"
	"go/ast"
	"slices"
)

// The budgets count all lines of a function, and all lines of a file. The lines of a package are the lines of its files that
// are not tests, as wc -l counts them.
const (
	maxPackageLines  = 1500
	maxFileLines     = 400
	maxFunctionLines = 60
	maxParameters    = 5
	// maxTestLines limits a function of a test file. It is larger because such a function may begin with a table of cases.
	maxTestLines = 80
)

// exception is a package that may have more than maxPackageLines.
type exception struct {
	pkg    string
	reason string
}

// exceptions has all packages that are larger than the budget.
var exceptions = []exception{
	{"breaker", "The rules of a breaker use the internals of the lock-free counting, which two packages would have to export."},
	{"policy", "The parser, the merging and the lint of the language read and write the same settings, field by field."},
}

// checkBudgets finds packages, files, functions and parameter lists that are too long.
// Test files may be long: they grow by adding cases.
func checkBudgets(t *tree) []finding {
	fs := checkPackageSizes(t, maxPackageLines, exceptions)
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

// checkPackageSizes finds packages with more lines than the limit, and exceptions that need no entry.
func checkPackageSizes(t *tree, limit int, allowed []exception) []finding {
	var fs []finding
	for _, p := range t.packages {
		lines := 0
		for _, f := range p.files {
			if !f.test {
				lines += f.lines
			}
		}
		listed := slices.IndexFunc(allowed, func(e exception) bool { return e.pkg == p.path })
		wrong := ""
		switch {
		case listed < 0 && lines > limit:
			wrong = fmt.Sprintf("%d are allowed; split it by what a reader would look for", limit)
		case listed < 0:
		case lines <= limit:
			wrong = "it is no exception any more; delete its entry"
		}
		if f := p.files[0]; wrong != "" {
			fs = append(fs, f.finding(f.syntax.Package, "large-package", "package %s has %d lines without its tests; %s", p.path, lines, wrong))
		}
	}
	return fs
}

// checkExceptions returns the mistakes in the list of exceptions.
func checkExceptions(t *tree, allowed []exception) []string {
	var wrong []string
	for i, e := range allowed {
		if e.reason == "" {
			wrong = append(wrong, fmt.Sprintf("the exception %s has no reason", e.pkg))
		}
		if slices.ContainsFunc(allowed[:i], func(other exception) bool { return other.pkg == e.pkg }) {
			wrong = append(wrong, fmt.Sprintf("the exception %s is there twice", e.pkg))
		}
		if !slices.ContainsFunc(t.packages, func(p *pkg) bool { return p.path == e.pkg }) {
			wrong = append(wrong, fmt.Sprintf("the exception %s is about no package of the tree; delete it", e.pkg))
		}
	}
	return wrong
}

// functionBudgets finds functions and parameter lists that are too long.
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
