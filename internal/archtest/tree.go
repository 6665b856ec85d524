package archtest

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"breakwater.dev/internal/markdown"
)

// modulePath is the path of the main module.
const modulePath = "breakwater.dev"

// tree is a repository: all its Go files, by package, in order of path, and its Markdown pages.
type tree struct {
	fset     *token.FileSet // the positions of all files
	packages []*pkg
	pages    []markdown.Page
}

// pkg has the Go files of one directory.
type pkg struct {
	path      string // the directory, from the root
	ownModule bool   // the package is not in the main module
	files     []*file
}

// file is one parsed Go file.
type file struct {
	name   string // path from the root
	test   bool
	lines  int
	fset   *token.FileSet
	syntax *ast.File
}

// finding is a mistake in a file.
type finding struct {
	file string
	line int
	text string // the mistake, and how to correct it
	rule string
}

func (f finding) String() string {
	return fmt.Sprintf("%s:%d: %s [%s]", f.file, f.line, f.text, f.rule)
}

// load parses every Go file below the root, and reads every page. It leaves out directories that the go command ignores.
func load(fsys fs.FS) (*tree, error) {
	t := &tree{fset: token.NewFileSet()}
	var modules []string
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch base := path.Base(name); {
		case err != nil:
			return err
		case d.IsDir():
			if name != "." && (base == "testdata" || base == "vendor" || strings.ContainsAny(base[:1], "._")) {
				return fs.SkipDir
			}
		case base == "go.mod" && name != base:
			modules = append(modules, path.Dir(name))
		case strings.HasSuffix(base, ".go"):
			return t.add(fsys, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the source tree: %w", err)
	}
	if t.pages, err = markdown.Read(fsys); err != nil {
		return nil, fmt.Errorf("read the pages: %w", err)
	}
	slices.SortFunc(t.packages, func(a, b *pkg) int { return cmp.Compare(a.path, b.path) })
	for _, p := range t.packages {
		p.ownModule = slices.ContainsFunc(modules, func(m string) bool { return within(m, p.path) })
	}
	return t, nil
}

// add parses a file, unless a program has written it.
func (t *tree) add(fsys fs.FS, name string) error {
	src, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	syntax, err := parser.ParseFile(t.fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	if ast.IsGenerated(syntax) {
		return nil // its source is another file
	}
	dir := path.Dir(name)
	at := slices.IndexFunc(t.packages, func(p *pkg) bool { return p.path == dir })
	if at < 0 {
		at = len(t.packages)
		t.packages = append(t.packages, &pkg{path: dir})
	}
	t.packages[at].files = append(t.packages[at].files, &file{
		name:   name,
		test:   strings.HasSuffix(name, "_test.go"),
		lines:  bytes.Count(src, []byte("\n")),
		fset:   t.fset,
		syntax: syntax,
	})
	return nil
}

// within reports whether name is dir or below it.
func within(dir, name string) bool {
	return name == dir || strings.HasPrefix(name, dir+"/")
}

// line returns the line of a position.
func (f *file) line(pos token.Pos) int { return f.fset.Position(pos).Line }

func (f *file) finding(pos token.Pos, rule, format string, args ...any) finding {
	return finding{file: f.name, line: f.line(pos), rule: rule, text: fmt.Sprintf(format, args...)}
}

// functions returns the names of the file's functions, without methods.
func (f *file) functions() []string {
	var names []string
	for _, d := range f.syntax.Decls {
		if d, ok := d.(*ast.FuncDecl); ok && d.Recv == nil {
			names = append(names, d.Name.Name)
		}
	}
	return names
}

// importPath returns the path of an import declaration.
func importPath(spec *ast.ImportSpec) string {
	p, _ := strconv.Unquote(spec.Path.Value) // the parser accepted the literal
	return p
}

// imported returns the name that the file gives to an imported package, or "" if the file does not import it.
func (f *file) imported(importedPath string) string {
	for _, spec := range f.syntax.Imports {
		if importPath(spec) != importedPath {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(importedPath)
	}
	return ""
}

// uses calls found for every use of one of a package's names, both in calls and as values.
func (f *file) uses(importedPath string, names []string, found func(sel *ast.SelectorExpr, stack []ast.Node)) {
	local := f.imported(importedPath)
	if local == "" {
		return
	}
	ast.PreorderStack(f.syntax, nil, func(n ast.Node, stack []ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok || !slices.Contains(names, sel.Sel.Name) {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == local {
			found(sel, stack)
		}
		return true
	})
}
