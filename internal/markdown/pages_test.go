package markdown

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBlocks(t *testing.T) {
	page, err := parse("docs/a.md", strings.Join([]string{
		"# Title", "", "Text.", "", "```sh", "make", "```", "",
		"1. A step:", "", "   <!-- not run:", "", "   needs a cluster -->", "   ~~~yaml mistake", "   a: 1", "     ```", "   ~~~", "More.", "",
	}, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Block{
		{Page: "docs/a.md", Line: 5, Kind: "sh", Text: "make\n"},
		{Page: "docs/a.md", Line: 14, Kind: "yaml mistake", Note: "not run:\n\n   needs a cluster", Text: "a: 1\n  ```\n"},
	}
	if diff := cmp.Diff(want, page.Blocks); diff != "" {
		t.Errorf("blocks (-want +got):\n%s", diff)
	}
	if want := "# Title\n\nText.\n\n\n\n\n\n1. A step:\n\n\n\n\n\n\n\n\nMore.\n"; page.Prose != want {
		t.Errorf("prose is %q, want %q", page.Prose, want)
	}
}

func TestBlocksThatCannotBeChecked(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"no kind":    {"a\n```\nb\n```\n", "a.md:2: the block has no kind"},
		"not closed": {"```sh\nmake\n", "a.md:1: the block is not closed"},
		"indented":   {"a:\n\n    make\n", "a.md:3: a code block without a fence"},
		"a tab":      {"a:\n\n\tmake\n", "a.md:3: a code block without a fence"},
		"comment":    {"a\n<!-- b --> c\n\n```sh\nd\n```\n<!-- e -->\n", "a.md:2: write text on a line of its own, not behind a comment"},
		"its end":    {"<!-- a\nb --> c\n", "a.md:2: write text on a line of its own"},
		"HTML":       {"<pre>\nmake\n</pre>\n", "a.md:1: a code block without a fence"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parse("a.md", tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// TestRead wants the pages of this repository, and none of what tests and tools keep in it.
func TestRead(t *testing.T) {
	pages, err := Read(os.DirFS("../.."))
	for _, p := range pages {
		if strings.Contains(p.Path, "testdata/") || strings.HasPrefix(p.Path, ".") {
			t.Errorf("%s is no page of the documentation", p.Path)
		}
	}
	if err != nil || len(pages) < 20 || pages[0].Path != "CONTRIBUTING.md" {
		t.Errorf("%d pages: %v", len(pages), err)
	}
}
