package archtest

import (
	"go/ast"

	"breakwater.dev/internal/archtest/table"
)

// clockFunctions has the functions of package time that read a clock or wait.
var clockFunctions = []string{
	"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker",
}

// checkPurity finds clocks and goroutines in pure packages.
func checkPurity(t *tree, rows []table.Row) []finding {
	var fs []finding
	for _, p := range t.packages {
		r := rowOf(rows, p.path)
		if r == nil || !r.Pure {
			continue
		}
		for _, f := range p.files {
			if f.test {
				continue
			}
			f.uses("time", clockFunctions, func(sel *ast.SelectorExpr, _ []ast.Node) {
				fs = append(fs, f.finding(sel.Pos(), "clock", "%s is pure and may not use time.%s; take the time as an argument", p.path, sel.Sel.Name))
			})
			ast.Inspect(f.syntax, func(n ast.Node) bool {
				if g, ok := n.(*ast.GoStmt); ok {
					fs = append(fs, f.finding(g.Pos(), "goroutine", "%s is pure and may not start a goroutine; let the caller do it", p.path))
				}
				return true
			})
		}
	}
	return fs
}
