package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"breakwater.dev/internal/markdown"
)

// documentation returns all pages of the repository.
func documentation(t *testing.T) []markdown.Page {
	t.Helper()
	pages, err := markdown.Read(os.DirFS(root))
	if err != nil {
		t.Fatalf("CONTRIBUTING.md says how to write a block.\n%v", err)
	}
	return pages
}

// page returns the page with a path from the root.
func page(t *testing.T, path string) markdown.Page {
	t.Helper()
	pages := documentation(t)
	i := slices.IndexFunc(pages, func(p markdown.Page) bool { return p.Path == path })
	if i < 0 {
		t.Fatalf("there is no %s", path)
	}
	return pages[i]
}

// blockChecks has a check for each kind of block. The check also gets the block before it on the page; for the first block,
// that is an empty one.
var blockChecks = map[string]func(t *testing.T, b, before markdown.Block) error{
	"text":          checkText,
	"json":          checkJSON,
	"sh":            checkShell, // TestReadme and TestDocsCommands also run such blocks
	"go":            checkGo,
	"promql":        checkPromQL,
	"yaml":          checkPolicy,
	"yaml mistake":  checkMistake,
	"yaml envoy":    checkBootstrap,
	"yaml rules":    checkRules,
	"yaml scraping": checkScraping,
	// Kubernetes' schemas are not a dependency of this module. TestDocsManifests in internal/deploytest checks these blocks.
	"yaml kubernetes":    checkedThere,
	"yaml kustomization": checkedThere,
}

// TestDocsBlocks checks every code block of every page. CONTRIBUTING.md explains the kinds of blocks.
func TestDocsBlocks(t *testing.T) {
	t.Parallel()
	for _, p := range documentation(t) {
		for i, b := range p.Blocks {
			t.Run(b.Place(), func(t *testing.T) {
				t.Parallel()
				var before markdown.Block
				if i > 0 {
					before = p.Blocks[i-1]
				}
				if err := checkBlock(t, b, before); err != nil {
					t.Errorf("%s: %v", b.Place(), err)
				}
			})
		}
	}
}

// checkBlock checks a block with the check for its kind.
func checkBlock(t *testing.T, b, before markdown.Block) error {
	t.Helper()
	check, ok := blockChecks[b.Kind]
	if !ok {
		return fmt.Errorf("nothing checks a block of kind %q; CONTRIBUTING.md lists the kinds", b.Kind)
	}
	return check(t, b, before)
}

// TestDocsBlocksThatAreWrong shows that each check finds a mistake.
func TestDocsBlocksThatAreWrong(t *testing.T) {
	t.Parallel()
	mistake := markdown.Block{Kind: "yaml mistake", Text: "services:\n  payments: {failure_threshold: 0.5}\n"}
	for _, tt := range []struct{ kind, text, want string }{
		{"yml", "a: 1\n", "nothing checks"},
		{"json", "{a: 1}\n", "not JSON"},
		{"go", "registry, err := inprocess.Open(\"policies/\")\n", "package clause"},
		{"go", "package a\n\nimport \"breakwater.dev/inprocess\"\n\nvar _, _ = inprocess.Open(\"policies/\")\n", "does not compile"},
		{"yaml", "services:\n  payments: {failure_treshold: 5}\n", "unknown-field"},
		{"yaml mistake", "services:\n  payments: {failure_threshold: 5}\n", "finds no mistake"},
		{"text", "policies/a.yaml:2:33: services.payments.failure_threshold = 0.5; must be right [bad-number]\n", "is not what"},
		{"yaml envoy", "admin: {addres: 1}\n", "envoy refuses"},
		{"yaml rules", "groups:\n- name: a\n  rules:\n  - alert: A\n    expr: rate(\n", "promtool refuses"},
		{"yaml scraping", "scrape_config: []\n", "promtool refuses"},
		{"promql", "sum(rate(circuit_breaker_requests_total[5m])\n", "promtool refuses"},
		{"promql", "circuit_breaker_request_total\n", "no metric"},
		{"sh", "if true; then\n", "bash cannot parse"},
		{"sh", "breakwater breakers lst\n", "breakers has no command lst"},
		{"sh", "bin/breakwater serve --polices examples/quickstart/policies\n", "no flag --polices"},
		{"sh", "breakwater simulate policies/\n", "no command simulate"},
		{"sh", "x=$(make demmo)\n", "no target demmo"},
		{"sh", "make fuzz FUZTIME=1m\n", "no variable FUZTIME"},
		{"sh", "cat <<END\nnot a program\nEND\ndeploy/k8s/certificate.sh certs\n", "no deploy/k8s/certificate.sh"},
		{"sh", "kubectl -n shop scale deploy/rediss --replicas 0\n", "makes deploy/rediss"},
		{"sh", "kubectl -n breakwater exec deploy/breakwater -- /breakwater breakers list --stat open\n", "no flag --stat"},
		{"sh", "docker build --target shopp .\n", "no stage shopp"},
		{"sh", "envoy -c a.yaml --component-log-levels a\n", "no flag --component-log-levels"},
		{"sh", "frobnicate now\n", "no test knows the program"},
	} {
		t.Run(tt.kind+"/"+tt.want, func(t *testing.T) {
			t.Parallel()
			err := checkBlock(t, markdown.Block{Page: "README.md", Line: 1, Kind: tt.kind, Text: tt.text}, mistake)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s\ngot %v, want %q", tt.text, err, tt.want)
			}
		})
	}
}

// checkedThere returns an error if a block has a fence that TestDocsManifests does not find.
func checkedThere(t *testing.T, b, _ markdown.Block) error {
	t.Helper()
	line := strings.Split(page(t, b.Page).Text, "\n")[b.Line-1]
	if strings.TrimLeft(line, " ") != "```"+b.Kind {
		return fmt.Errorf("write the fence as ```%s", b.Kind)
	}
	return nil
}

// TestCheckedThereLooksAtItsFence shows that checkedThere looks at the fence of its block, and at no other fence.
func TestCheckedThereLooksAtItsFence(t *testing.T) {
	t.Parallel()
	found := false
	for _, p := range documentation(t) {
		for _, b := range p.Blocks {
			if b.Kind != "yaml kubernetes" {
				continue
			}
			found = true
			b.Line++
			if err := checkedThere(t, b, markdown.Block{}); err == nil {
				t.Errorf("%s: line %d is accepted as a fence", p.Path, b.Line)
			}
		}
	}
	if !found {
		t.Error("no page has a block of kind yaml kubernetes")
	}
}

// checkJSON returns an error if a block is not JSON.
func checkJSON(t *testing.T, b, _ markdown.Block) error {
	t.Helper()
	if !json.Valid([]byte(b.Text)) {
		return errors.New("this is not JSON")
	}
	return nil
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestDocsLinks shows that the targets of all links exist, including headings.
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
				t.Errorf("%s links to %s, which does not exist", path, m[1])
			}
			if to.Fragment != "" && !headings(text[target])[to.Fragment] {
				t.Errorf("%s links to %s, and %s has no such heading", path, m[1], target)
			}
		}
	}
}

// TestAlertsHaveRunbooks shows that each alert has a runbook, and that the runbook is a section of docs/troubleshooting.md.
func TestAlertsHaveRunbooks(t *testing.T) {
	rules, err := os.ReadFile(filepath.Join(root, "deploy/prometheus/rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	sections := headings(page(t, "docs/troubleshooting.md").Prose)
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

// headings returns the anchors of a page's headings, as GitHub makes them.
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
