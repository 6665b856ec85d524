package archtest

import (
	"fmt"
	"go/ast"
	"go/types"
	"path"
	"slices"
	"strings"
)

// group is a set of files of a package. They may use only declarations of their own, and declarations of the files in lower.
type group struct {
	pkg   string
	files []string // base names, as patterns of [path.Match]
	lower []string // other files of the package, in the same form
	// opaque has types of other files that the files may name in order to store a pointer. The files may not use their
	// fields and methods.
	opaque []string
	reason string
}

// words are the files of package breaker that declare the values in its API.
var words = []string{"config.go", "fields.go", "instant.go", "mode.go", "ratio.go", "status.go", "transition.go", "types.go"}

// groups has all groups.
var groups = []group{
	{
		pkg: "breaker", files: words,
		reason: "These files are the words of the package: values that say nothing about how it works.",
	},
	{
		pkg: "breaker", files: []string{"count_*.go"}, lower: words, opaque: []string{"Breaker"},
		reason: "The rules call the counting, never the reverse, so that the counting can be understood, and changed, without the rules.",
	},
}

// checkGroups finds files that use declarations that their group may not use.
func checkGroups(t *tree, groups []group) []finding {
	var fs []finding
	for _, p := range t.packages {
		var uses map[*ast.Ident]types.Object
		for i := range groups {
			g := &groups[i]
			if g.pkg != p.path {
				continue
			}
			if uses == nil {
				uses = resolve(t, p)
			}
			for _, f := range p.files {
				if !f.test && matchesAny(g.files, f.name) {
					fs = append(fs, g.check(f, uses)...)
				}
			}
		}
	}
	return fs
}

// check finds uses in one file that the group may not have.
func (g *group) check(f *file, uses map[*ast.Ident]types.Object) []finding {
	var fs []finding
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		if !ok {
			return true
		}
		obj := uses[id]
		if obj == nil || !obj.Pos().IsValid() { // not declared in this package
			return true
		}
		from := f.fset.Position(obj.Pos()).Filename
		_, isType := obj.(*types.TypeName)
		if matchesAny(g.files, from) || matchesAny(g.lower, from) || isType && slices.Contains(g.opaque, id.Name) {
			return true
		}
		fs = append(fs, f.finding(id.Pos(), "group", "%s is declared in %s: %s", id.Name, path.Base(from), g.reason))
		return true
	})
	return fs
}

// resolve finds the object of each identifier that the package itself declares. It does not read imports, so it ignores errors
// of the type checker.
func resolve(t *tree, p *pkg) map[*ast.Ident]types.Object {
	var syntax []*ast.File
	for _, f := range p.files {
		if !f.test {
			syntax = append(syntax, f.syntax)
		}
	}
	info := types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: empty{}, Error: func(error) {}}
	_, _ = config.Check(modulePath+"/"+p.path, t.fset, syntax, &info)
	return info.Uses
}

// empty is an importer that returns packages without declarations.
type empty struct{}

// Import returns an empty package.
func (empty) Import(importedPath string) (*types.Package, error) {
	p := types.NewPackage(importedPath, path.Base(importedPath))
	p.MarkComplete()
	return p, nil
}

// matchesAny reports whether the base name of a file matches one of the patterns.
func matchesAny(patterns []string, file string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, _ := path.Match(pattern, path.Base(file))
		return ok
	})
}

// unmatched returns the mistakes in groups: patterns that match no file, and missing reasons.
func unmatched(t *tree, groups []group) []string {
	var wrong []string
	for _, g := range groups {
		if g.reason == "" {
			wrong = append(wrong, fmt.Sprintf("the group %s of %s has no reason", strings.Join(g.files, " "), g.pkg))
		}
		for _, pattern := range slices.Concat(g.files, g.lower) {
			if !slices.ContainsFunc(t.packages, func(p *pkg) bool {
				return p.path == g.pkg && slices.ContainsFunc(p.files, func(f *file) bool { return matchesAny([]string{pattern}, f.name) })
			}) {
				wrong = append(wrong, fmt.Sprintf("no file of %s matches %s", g.pkg, pattern))
			}
		}
	}
	return wrong
}
