package archtest

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// docLines begin the lines that every package's doc comment has, in this order.
var docLines = []string{"In:", "Out:", "Called by:", "Never:", "Concurrency:"}

// checkDocs finds packages without exactly one complete doc comment. Where there
// are several files it is in doc.go, or a command's in main.go.
func checkDocs(t *tree) []finding {
	var fs []finding
	for _, p := range t.packages {
		var documented, plain []*file // files with a doc comment; files that are not tests
		for _, f := range p.files {
			if f.syntax.Doc != nil {
				documented = append(documented, f)
			}
			if !f.test {
				plain = append(plain, f)
			}
		}
		if len(documented) == 0 {
			f := p.files[0]
			fs = append(fs, f.finding(f.syntax.Package, "package-doc", "package %s has no doc comment; write one in doc.go", p.path))
			continue
		}
		for _, f := range documented[1:] {
			fs = append(fs, f.finding(f.syntax.Doc.Pos(), "package-doc", "package %s has a doc comment in %s already", p.path, path.Base(documented[0].name)))
		}
		f := documented[0]
		base, command := path.Base(f.name), f.syntax.Name.Name == "main"
		if f.test || len(plain) > 1 && base != "doc.go" && !(command && base == "main.go") {
			fs = append(fs, f.finding(f.syntax.Doc.Pos(), "package-doc", "the doc comment of a package of several files is in doc.go"))
		}
		fs = append(fs, docText(p, f)...)
	}
	return fs
}

func docText(p *pkg, f *file) []finding {
	name, text := f.syntax.Name.Name, f.syntax.Doc.Text()
	begin := "Package " + name + " "
	if name == "main" {
		begin = "Command "
	}
	if !strings.HasPrefix(text, begin) {
		return []finding{f.finding(f.syntax.Doc.Pos(), "package-doc", "the doc comment should begin with %q", begin)}
	}
	var said []string
	for line := range strings.Lines(text) {
		for _, label := range docLines {
			if strings.HasPrefix(line, label+" ") {
				said = append(said, label)
			}
		}
	}
	if !slices.Equal(said, docLines) {
		return []finding{f.finding(f.syntax.Doc.Pos(), "package-doc", "the doc comment of package %s should have the lines %s once each, in this order, with text; it has %s",
			p.path, strings.Join(docLines, " "), cmp.Or(strings.Join(said, " "), "none"))}
	}
	return nil
}
