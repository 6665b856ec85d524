package archtest

import (
	"go/ast"
	"regexp"
	"strings"

	"breakwater.dev/internal/archtest/prose"
	"breakwater.dev/internal/markdown"
)

// checkProse finds bad habits in the comments of Go files and in the Markdown pages.
func checkProse(t *tree) []finding {
	var fs []finding
	for _, p := range t.passages() {
		for _, f := range p.Check() {
			fs = append(fs, finding{file: p.File, line: f.Line, rule: f.Rule, text: f.Text})
		}
	}
	return fs
}

// passages returns the prose of the tree: the comments of its Go files and the text of its pages, without
// old decisions.
func (t *tree) passages() []*prose.Passage {
	var all []*prose.Passage
	for _, p := range t.packages {
		for _, f := range p.files {
			for _, group := range f.syntax.Comments {
				all = append(all, f.passages(group)...)
			}
		}
	}
	for i := range t.pages {
		if !history.MatchString(t.pages[i].Path) {
			all = append(all, pagePassages(&t.pages[i])...)
		}
	}
	return all
}

// history matches the decisions from before the rules of prose. They are records, and are not rewritten.
var history = regexp.MustCompile(`^docs/adr/00(?:0[1-9]|1[0-9]|2[0-8])-`)

// paragraphs collects lines into passages.
type paragraphs struct {
	file string
	all  []*prose.Passage
	open *prose.Passage
}

// add appends a line to the open passage, or begins one.
func (p *paragraphs) add(text string, line int) {
	if p.open == nil {
		p.open = &prose.Passage{File: p.file}
		p.all = append(p.all, p.open)
	}
	if p.open.Text != "" {
		text = " " + text
	}
	p.open.Text += text
	for range text {
		p.open.Lines = append(p.open.Lines, line)
	}
}

// end ends the open passage.
func (p *paragraphs) end() { p.open = nil }

// alone adds a passage of a single line.
func (p *paragraphs) alone(text string, line int) {
	p.end()
	p.add(text, line)
	p.open.Cell = true
	p.end()
}

var (
	directive = regexp.MustCompile(`^(?:[a-z]+:\S|Output:|Unordered output:)`)
	listItem  = regexp.MustCompile(`^\s*(?:[-*]|\d+\.)\s+`)
)

// passages returns the paragraphs of a comment, without directives and code.
func (f *file) passages(group *ast.CommentGroup) []*prose.Passage {
	p := paragraphs{file: f.name}
	for _, c := range group.List {
		first := f.line(c.Pos())
		text := strings.TrimSuffix(strings.TrimPrefix(c.Text, "/*"), "*/")
		for i, line := range strings.Split(text, "\n") {
			line, lineComment := strings.CutPrefix(line, "//")
			item := listItem.FindString(line)
			switch {
			case lineComment && directive.MatchString(line), strings.TrimSpace(line) == "":
				p.end()
				continue
			case item != "":
				p.end()
			case lineComment && strings.HasPrefix(line, "\t"): // code
				p.end()
				continue
			}
			p.add(strings.TrimSpace(line[len(item):]), first+i)
		}
	}
	return p.all
}

// pagePassages returns the paragraphs, headings, list items and cells of a page.
func pagePassages(page *markdown.Page) []*prose.Passage {
	p := paragraphs{file: page.Path}
	for i, line := range strings.Split(page.Prose, "\n") {
		trimmed := strings.TrimSpace(strings.TrimLeft(line, "> "))
		item := listItem.FindString(line)
		switch {
		case trimmed == "":
			p.end()
		case strings.HasPrefix(trimmed, "#"):
			p.alone(strings.TrimLeft(trimmed, "# "), i+1)
		case strings.HasPrefix(trimmed, "|"):
			for _, cell := range strings.Split(strings.Trim(trimmed, "|"), "|") {
				if cell = strings.TrimSpace(cell); cell != "" {
					p.alone(cell, i+1)
				}
			}
		case item != "":
			p.end()
			p.add(strings.TrimSpace(line[len(item):]), i+1)
		default:
			p.add(trimmed, i+1)
		}
	}
	return p.all
}
