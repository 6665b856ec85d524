package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"breakwater.dev/internal/envoybin"
	"breakwater.dev/internal/markdown"
)

// target is the upstream that policies of the documentation may target without declaring it.
const target = "apiVersion: breakwater.dev/v1alpha1\nkind: Upstream\nmetadata: {name: payments}\n" +
	"spec:\n  endpoints: [{address: 10.0.0.1, port: 80}, {address: 10.0.0.2, port: 80}]\n"

// checkPolicy validates a policy with the binary. If the block has no upstream, the upstream payments is added.
func checkPolicy(t *testing.T, b, _ markdown.Block) error {
	t.Helper()
	dir := t.TempDir()
	save(t, dir, "policy.yaml", b.Text)
	if !strings.Contains(b.Text, "kind: Upstream\n") {
		save(t, dir, "payments.yaml", target)
	}
	if r := breakwater(t, "validate", dir); r.code != 0 {
		return fmt.Errorf("breakwater validate refuses this policy; correct it, or if it is no policy write its kind after ```yaml (CONTRIBUTING.md):\n%s%s",
			r.stdout, r.stderr)
	}
	return nil
}

// diagnostic matches a diagnostic that validate prints. Its first group is the name of the file.
var diagnostic = regexp.MustCompile(`(?m)^(\S+\.ya?ml):\d+:\d+: .*\[[a-z-]+\]$`)

// checkMistake returns an error unless validate refuses a policy.
func checkMistake(t *testing.T, b, _ markdown.Block) error {
	t.Helper()
	if diagnostics(t, b.Text, "policy.yaml") == "" {
		return errors.New("breakwater validate finds no mistake in this policy; write ```yaml")
	}
	return nil
}

// checkText returns an error if a block has diagnostics that validate does not print for the block before it.
func checkText(t *testing.T, b, before markdown.Block) error {
	t.Helper()
	m := diagnostic.FindStringSubmatch(b.Text)
	if m == nil {
		return nil // a figure, or the output of another program
	}
	if before.Kind != "yaml mistake" {
		return fmt.Errorf("write the policy that gives this into a block ```yaml mistake just before, so that they can be compared:\n%s", m[0])
	}
	if got := diagnostics(t, before.Text, m[1]); got != b.Text {
		return fmt.Errorf("this is not what breakwater validate prints for the policy in %s. Write:\n%s", before.Place(), got)
	}
	return nil
}

// diagnostics returns the diagnostics that validate prints for a policy in a file with a given name.
func diagnostics(t *testing.T, policy, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700); err != nil {
		t.Fatal(err)
	}
	save(t, dir, name, policy)
	save(t, dir, "target.yaml", target)
	r := breakwater(t, "validate", filepath.Join(dir, name), filepath.Join(dir, "target.yaml"))
	var lines strings.Builder
	for line := range strings.Lines(r.stdout + r.stderr) {
		if line = strings.TrimPrefix(line, dir+"/"); diagnostic.MatchString(line) {
			lines.WriteString(line)
		}
	}
	return lines.String()
}

// checkBootstrap validates a bootstrap with Envoy.
func checkBootstrap(t *testing.T, b, _ markdown.Block) error {
	t.Helper()
	return accepted(t, b.Text, envoybin.Path(t), "--mode", "validate", "-l", "error", "-c")
}

// checkRules checks a file of Prometheus rules with promtool.
func checkRules(t *testing.T, b, _ markdown.Block) error {
	t.Helper()
	return accepted(t, b.Text, "promtool", "check", "rules")
}

// checkScraping checks a configuration of Prometheus with promtool.
func checkScraping(t *testing.T, b, _ markdown.Block) error {
	t.Helper()
	return accepted(t, b.Text, "promtool", "check", "config", "--syntax-only")
}

// checkPromQL returns an error if promtool cannot parse a query as the expression of a rule, or if one of its metrics does
// not exist.
func checkPromQL(t *testing.T, b, _ markdown.Block) error {
	t.Helper()
	rule := "groups:\n- name: documentation\n  rules:\n  - record: documentation\n    expr: |\n"
	for line := range strings.Lines(b.Text) {
		rule += "      " + line
	}
	for _, m := range metricName.FindAllString(b.Text, -1) {
		if !ourMetrics(t)[m] {
			return fmt.Errorf("there is no metric %s", m)
		}
	}
	return accepted(t, rule, "promtool", "check", "rules")
}

// checkGo compiles a block. A block that begins with a package clause is a file. Any other block is the end of a file, whose
// beginning is in the comment above the block and ends inside a function.
func checkGo(t *testing.T, b, _ markdown.Block) error {
	t.Helper()
	text := b.Text
	if !strings.HasPrefix(text, "package ") {
		if !strings.HasPrefix(b.Note, "package ") {
			return errors.New("begin the block with a package clause, or put a comment <!-- package ... --> above it with the file up to here; " +
				"CONTRIBUTING.md has an example")
		}
		text = b.Note + "\n" + text + "}\n"
	}
	dir := t.TempDir()
	save(t, dir, "block.go", text)
	// The overlay makes the block a package of this module, without a file in the module.
	module, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(module, "documented", "block.go"): filepath.Join(dir, "block.go")}})
	if err != nil {
		return err
	}
	save(t, dir, "overlay.json", string(overlay))
	cmd := exec.CommandContext(t.Context(), "go", "build", "-C", module, "-overlay", filepath.Join(dir, "overlay.json"), "-o", os.DevNull, "./documented")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("this does not compile:\n%s", out)
	}
	return nil
}

// accepted gives a program a file with a text as its last argument. If the program fails, accepted returns an error with its
// output.
func accepted(t *testing.T, text, program string, args ...string) error {
	t.Helper()
	dir := t.TempDir()
	save(t, dir, "block.yaml", text)
	if out, err := exec.CommandContext(t.Context(), program, append(args, filepath.Join(dir, "block.yaml"))...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s refuses this block: %w\n%s", filepath.Base(program), err, out)
	}
	return nil
}

func save(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDocumentedDefaults shows that the defaults of a BreakerPolicy in docs/policies.md are the values of a policy without
// fields.
func TestDocumentedDefaults(t *testing.T) {
	t.Parallel()
	blocks := page(t, "docs/policies.md").Blocks
	whole := blocks[0].Text
	bare, rest, ok := strings.Cut(whole, "  mode:")
	beforeFallback, rest, ok2 := strings.Cut(rest, "  fallback:")
	_, limits, ok3 := strings.Cut(rest, "  connectionLimits:")
	limits, _, ok4 := strings.Cut(limits, "  outlierDetection:")
	if !ok || !ok2 || !ok3 || !ok4 {
		t.Fatalf("%s lacks one of mode, fallback, connectionLimits and outlierDetection, in this order", blocks[0].Place())
	}
	revision := func(policy string) string {
		dir := t.TempDir()
		save(t, dir, "policy.yaml", policy)
		r := breakwater(t, "validate", dir)
		if r.code != 0 {
			t.Errorf("%s%s", r.stdout, r.stderr)
		}
		return r.stdout
	}
	if documented, actual := revision(bare+"  mode:"+beforeFallback+"  connectionLimits:"+limits), revision(bare); documented != actual {
		t.Errorf("the policy in %s differs from a policy without fields, so one of its values is not the default:\n%s%s", blocks[0].Place(), documented, actual)
	}
}
