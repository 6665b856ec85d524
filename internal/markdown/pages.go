package markdown

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Page is a Markdown file.
type Page struct {
	Path   string // from the root, with slashes
	Text   string
	Prose  string // Text with an empty line for each line of a block or a comment
	Blocks []Block
}

// Block is a fenced code block.
type Block struct {
	Page string // its path from the root
	Line int    // the line of the opening fence, from 1
	Kind string // the words after the fence, such as "yaml" or "yaml mistake"
	Note string // text of the HTML comment on the line or lines above the fence; often empty
	Text string // without the indentation of the fence
}

// Place is where a block is, as editors understand it.
func (b Block) Place() string { return fmt.Sprintf("%s:%d", b.Page, b.Line) }

// Read returns all pages of a tree in the order of their paths. It leaves out directories that begin with a dot,
// testdata, and bin. It fails when a block cannot be checked, because the block has no kind, is not closed, or has
// no fence; or when text follows a comment on its line, where nothing would check it.
func Read(root fs.FS) ([]Page, error) {
	var pages []Page
	var problems []error
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base := d.Name(); d.IsDir() && name != "." && (base[0] == '.' || base == "testdata" || base == "bin") {
			return fs.SkipDir
		}
		if d.IsDir() || path.Ext(name) != ".md" {
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		page, err := parse(name, string(text))
		pages, problems = append(pages, page), append(problems, err)
		return nil
	})
	return pages, errors.Join(append(problems, err)...)
}

var (
	fence    = regexp.MustCompile("^( *)(`{3,}|~{3,})\\s*(.*?)\\s*$")
	indented = regexp.MustCompile(`^(?: {4,}|\t)\S`)
)

// parse finds the blocks of a page.
func parse(path, text string) (Page, error) {
	page := Page{Path: path, Text: text}
	lines := strings.Split(text, "\n")
	prose := slices.Clone(lines)
	var problems []error
	problem := func(line int, format string, args ...any) {
		problems = append(problems, fmt.Errorf("%s:%d: %s", path, line+1, fmt.Sprintf(format, args...)))
	}
	for i := 0; i < len(lines); i++ {
		if end := comment(lines, i); end >= 0 {
			if _, text, _ := strings.Cut(lines[end], "-->"); strings.TrimSpace(text) != "" {
				problem(end, "write text on a line of its own, not behind a comment")
			}
			clear(prose[i : end+1])
			i = end
			continue
		}
		m := fence.FindStringSubmatch(lines[i])
		switch {
		case m == nil && (indented.MatchString(lines[i]) && i > 0 && strings.TrimSpace(lines[i-1]) == "" || strings.HasPrefix(lines[i], "<pre")):
			problem(i, "a code block without a fence; write ``` and its kind above it, and ``` below")
			continue
		case m == nil:
			continue
		}
		end := slices.IndexFunc(lines[i+1:], func(l string) bool { return strings.TrimSpace(l) == m[2] })
		if end < 0 {
			problem(i, "the block is not closed; write %s below it", m[2])
			break
		}
		if m[3] == "" {
			problem(i, "the block has no kind; write it behind the fence, such as ```text")
		}
		body := lines[i+1 : i+1+end]
		page.Blocks = append(page.Blocks, Block{Page: path, Line: i + 1, Kind: m[3], Note: note(lines, i), Text: unindent(body, m[1])})
		clear(prose[i : i+end+2])
		i += end + 1
	}
	page.Prose = strings.Join(prose, "\n")
	return page, errors.Join(problems...)
}

// comment returns the last line of the HTML comment that begins on line i, or -1.
func comment(lines []string, i int) int {
	if !strings.HasPrefix(strings.TrimSpace(lines[i]), "<!--") {
		return -1
	}
	end := slices.IndexFunc(lines[i:], func(l string) bool { return strings.Contains(l, "-->") })
	if end < 0 {
		return -1
	}
	return i + end
}

// note returns the text of the comment that ends right above line i.
func note(lines []string, i int) string {
	if i == 0 || !strings.HasSuffix(strings.TrimSpace(lines[i-1]), "-->") {
		return ""
	}
	for from := i - 1; from >= 0; from-- {
		if comment(lines, from) == i-1 {
			text := strings.TrimSpace(strings.Join(lines[from:i], "\n"))
			return strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(text, "<!--"), "-->"))
		}
	}
	return ""
}

func unindent(lines []string, by string) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(strings.TrimPrefix(l, by) + "\n")
	}
	return b.String()
}
