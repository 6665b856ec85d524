package archtest

import (
	"go/ast"
	"path"
	"slices"
	"strings"
	"unicode"
)

// emptyWords are words in names that do not describe anything.
var emptyWords = []string{"manager", "impl", "util", "utils"}

// envoyWords are terms of Envoy, which we do not rename.
var envoyWords = []string{"connection manager", "overload manager"}

// checkNames finds packages, files and declarations named with empty words.
func checkNames(t *tree) []finding {
	var fs []finding
	for _, p := range t.packages {
		for _, f := range p.files {
			report := func(id *ast.Ident, kind string) {
				if word := emptyWord(id.Name); word != "" {
					fs = append(fs, f.finding(id.Pos(), "name", "%s %s: %q does not say what it is; use the domain's words", kind, id.Name, word))
				}
			}
			report(f.syntax.Name, "package")
			report(&ast.Ident{Name: strings.TrimSuffix(path.Base(f.name), ".go"), NamePos: f.syntax.Package}, "file")
			for _, d := range f.syntax.Decls {
				declared(d, report)
			}
		}
	}
	return fs
}

// declared reports every name that a declaration declares.
func declared(d ast.Decl, report func(id *ast.Ident, kind string)) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		report(d.Name, "function")
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				report(spec.Name, "type")
			case *ast.ValueSpec:
				for _, id := range spec.Names {
					report(id, "name")
				}
			}
		}
	}
}

// emptyWord returns the first empty word of a name, or "".
func emptyWord(name string) string {
	words := splitWords(name)
	for i, w := range words {
		if !slices.Contains(emptyWords, w) {
			continue
		}
		if i > 0 && slices.Contains(envoyWords, words[i-1]+" "+w) {
			continue
		}
		return w
	}
	return ""
}

// splitWords splits "streamManagerV3" or "stream_manager_v3" into lower-case words.
func splitWords(name string) []string {
	var words []string
	start := true
	for _, r := range name {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			start = true
			continue
		case start || unicode.IsUpper(r):
			words = append(words, "")
		}
		start = false
		words[len(words)-1] += string(unicode.ToLower(r))
	}
	return words
}
