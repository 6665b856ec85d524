package archtest

import (
	"fmt"
	"go/ast"
	"go/types"
	"path"
	"slices"
	"strings"
)

// group is some files of a package that use only what they, and the files of lower groups,
// declare.
type group struct {
	pkg   string
	files []string // base names; patterns of [path.Match]
	lower []string // files of the same package that they may use too, in the same form
	// opaque are types of other files that they may name, to hold a pointer, and whose
	// fields and methods they may not use.
	opaque []string
	reason string
}

// words are the files of package breaker that declare what it says to others.
var words = []string{"config.go", "fields.go", "instant.go", "mode.go", "ratio.go", "status.go", "transition.go", "types.go"}

// groups are the groups that there are.
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

// checkGroups finds files that use what a group above theirs declares.
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

// resolve finds what each identifier of a package stands for, as far as the package itself
// declares it. Imports are not read, so errors are expected and mean nothing.
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

// empty imports packages without anything in them.
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

// unmatched returns what is wrong with the groups: patterns that match no file, and a
// missing reason.
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
