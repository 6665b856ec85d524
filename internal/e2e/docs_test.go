package e2e

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// documentation is all pages for people, by their path from the root.
func documentation(t *testing.T) map[string]string {
	t.Helper()
	pages := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/adr/*.md", "deploy/*/*.md", "examples/*/*.md", "bench/*.md"} {
		names, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			pages[strings.TrimPrefix(name, root+"/")] = string(text)
		}
	}
	return pages
}

// TestDocsPolicies: the policies in the documentation are valid.
func TestDocsPolicies(t *testing.T) {
	const upstream = "apiVersion: breakwater.dev/v1alpha1\nkind: Upstream\nmetadata: {name: payments}\n" +
		"spec:\n  endpoints: [{address: 10.0.0.1, port: 80}, {address: 10.0.0.2, port: 80}]\n"
	found := 0
	for page, text := range documentation(t) {
		if !strings.HasPrefix(page, "docs/") {
			continue
		}
		for i, block := range strings.Split(text, "```") {
			code, ok := strings.CutPrefix(block, "yaml\n")
			if !ok || i%2 == 0 {
				continue
			}
			found++
			file := filepath.Join(t.TempDir(), "policy.yaml")
			if err := os.WriteFile(file, []byte(upstream+"---\n"+code), 0o600); err != nil {
				t.Fatal(err)
			}
			if r := breakwater(t, "validate", file); r.code != 0 {
				t.Errorf("%s:\n%s%s%s", page, code, r.stdout, r.stderr)
			}
		}
	}
	if found < 4 {
		t.Errorf("%d policies in docs, want one for each of four others", found)
	}
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestDocsLinks: what pages link to is there, headings too.
func TestDocsLinks(t *testing.T) {
	pages := documentation(t)
	for page, text := range pages {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			to, err := url.Parse(m[1])
			if err != nil || to.Scheme != "" {
				continue
			}
			target := page
			if to.Path != "" {
				target = filepath.Join(filepath.Dir(page), to.Path)
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
			}
			if to.Fragment != "" && !headings(pages[target])[to.Fragment] {
				t.Errorf("%s links to %s, and %s has no such heading", page, m[1], target)
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
	sections := headings(documentation(t)["docs/troubleshooting.md"])
	runbooks := regexp.MustCompile(`runbook_url: https://breakwater\.dev/docs/troubleshooting\.md#(\S+)`).FindAllStringSubmatch(string(rules), -1)
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
