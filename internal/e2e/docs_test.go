package e2e

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"breakwater.dev/internal/markdown"
)

// documentation is all pages of the repository.
func documentation(t *testing.T) []markdown.Page {
	t.Helper()
	pages, err := markdown.Read(root)
	if err != nil {
		t.Fatalf("CONTRIBUTING.md says how to write a block.\n%v", err)
	}
	return pages
}

// page is one of them, by its path from the root.
func page(t *testing.T, path string) markdown.Page {
	t.Helper()
	pages := documentation(t)
	i := slices.IndexFunc(pages, func(p markdown.Page) bool { return p.Path == path })
	if i < 0 {
		t.Fatalf("there is no %s", path)
	}
	return pages[i]
}

// blockChecks has a check for each kind of block. It gets the block before on the page, too, which is empty for the first one.
var blockChecks = map[string]func(t *testing.T, b, before markdown.Block){
	"text":          checkText,
	"json":          checkJSON,
	"sh":            checkShell, // and TestReadme and TestDocsCommands run it
	"go":            checkGo,
	"promql":        checkPromQL,
	"yaml":          checkPolicy,
	"yaml mistake":  checkMistake,
	"yaml envoy":    checkBootstrap,
	"yaml rules":    checkRules,
	"yaml scraping": checkScraping,
	// Kubernetes' schemas are not a dependency of this module. TestDocsManifests of internal/deploytest checks these.
	"yaml kubernetes":    func(*testing.T, markdown.Block, markdown.Block) {},
	"yaml kustomization": func(*testing.T, markdown.Block, markdown.Block) {},
}

// TestDocsBlocks checks every code block of every page. What each kind means is in CONTRIBUTING.md.
func TestDocsBlocks(t *testing.T) {
	t.Parallel()
	for _, p := range documentation(t) {
		for i, b := range p.Blocks {
			t.Run(b.Place(), func(t *testing.T) {
				t.Parallel()
				check, ok := blockChecks[b.Kind]
				if !ok {
					t.Fatalf("%s: nothing checks a block of kind %q; CONTRIBUTING.md has the kinds that there are", b.Place(), b.Kind)
				}
				var before markdown.Block
				if i > 0 {
					before = p.Blocks[i-1]
				}
				check(t, b, before)
			})
		}
	}
}

func checkJSON(t *testing.T, b, _ markdown.Block) {
	if !json.Valid([]byte(b.Text)) {
		t.Errorf("%s: this is not JSON:\n%s", b.Place(), b.Text)
	}
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestDocsLinks: what pages link to is there, headings too.
func TestDocsLinks(t *testing.T) {
	text := map[string]string{}
	for _, p := range documentation(t) {
		text[p.Path] = p.Prose
	}
	for path, prose := range text {
		for _, m := range link.FindAllStringSubmatch(prose, -1) {
			to, err := url.Parse(m[1])
			if err != nil || to.Scheme != "" {
				continue
			}
			target := path
			if to.Path != "" {
				target = filepath.Join(filepath.Dir(path), to.Path)
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s links to %s, which is not there", path, m[1])
			}
			if to.Fragment != "" && !headings(text[target])[to.Fragment] {
				t.Errorf("%s links to %s, and %s has no such heading", path, m[1], target)
			}
		}
	}
}

// TestAlertsHaveRunbooks: each alert's runbook is a section of its own.
func TestAlertsHaveRunbooks(t *testing.T) {
	rules, err := os.ReadFile(filepath.Join(root, "deploy/prometheus/rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	sections := headings(page(t, "docs/troubleshooting.md").Prose)
	runbooks := regexp.MustCompile(`runbook: docs/troubleshooting\.md#(\S+)`).FindAllStringSubmatch(string(rules), -1)
	if alerts := strings.Count(string(rules), "- alert: "); alerts == 0 || alerts != len(runbooks) {
		t.Errorf("%d alerts have %d runbooks", alerts, len(runbooks))
	}
	for _, m := range runbooks {
		if !sections[m[1]] {
			t.Errorf("docs/troubleshooting.md has no section #%s", m[1])
		}
	}
}

// headings are the anchors of a page's headings, as GitHub makes them.
func headings(text string) map[string]bool {
	anchors := map[string]bool{}
	for line := range strings.Lines(text) {
		if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			slug := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(title)), " ", "-")
			anchors[regexp.MustCompile(`[^-_a-z0-9]`).ReplaceAllString(slug, "")] = true
		}
	}
	return anchors
}
