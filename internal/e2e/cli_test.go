package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// result is the output and the exit code of a command.
type result struct {
	stdout, stderr string
	code           int
}

// breakwater runs a command that must end by itself.
func breakwater(t *testing.T, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("breakwater %s: %v", strings.Join(args, " "), err)
	}
	if ctx.Err() != nil {
		t.Fatalf("breakwater %s did not end:\n%s%s", strings.Join(args, " "), &stdout, &stderr)
	}
	return result{stdout: stdout.String(), stderr: stderr.String(), code: cmd.ProcessState.ExitCode()}
}

// TestBadInput gives the commands policies that are hard on a parser. Each command ends with exit code 1 and a message that
// has the rule, and none panics.
func TestBadInput(t *testing.T) {
	t.Parallel()
	good := service("payments", "127.0.0.1:8080") + guard("payments")
	file := func(text string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	bomb := "a: &a [x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	cases := []struct {
		name, rule string
		make       func(*testing.T, string)
	}{
		{"unknown field", "unknown-field", file(strings.Replace(good, "spec:\n  targetRefs", "spec:\n  timout: 1s\n  targetRefs", 1))},
		{"duplicate key", "duplicate-field", file(strings.Replace(good, "spec:\n  targetRefs", "spec:\n  timeout: 1s\n  timeout: 2s\n  targetRefs", 1))},
		{"tab indentation", "yaml-tab", file("spec:\n\ttimeout: 1s\n")},
		{"alias bomb", "not-a-policy", file(bomb)},
		{"alias", "yaml-alias", file(strings.Replace(good, "endpoints:", "hosts: &h [payments]\n  routes: *h\n  endpoints:", 1))},
		{"10 MB", "file-too-large", file(good + strings.Repeat("# padding\n", 1<<20))},
		{"binary", "not-text", file("\x7fELF\x02\x01\x01\x00\x00\x00\xff\xfe")},
		{"not UTF-8", "not-text", file("metadata: {name: \xff\xfe}\n")},
		{"deeply nested", "", file(strings.Repeat("[", 100_000))},
		{"empty directory", "no-policies", func(*testing.T, string) {}},
		{"only comments", "no-policies", file("# nothing\n")},
		{"unreadable file", "unreadable-file", func(t *testing.T, dir string) {
			if err := os.Symlink("policy.yaml", filepath.Join(dir, "policy.yaml")); err != nil {
				t.Fatal(err)
			}
		}},
		{"a pipe", "unreadable-file", func(t *testing.T, dir string) {
			if err := syscall.Mkfifo(filepath.Join(dir, "policy.yaml"), 0o644); err != nil {
				t.Fatal(err)
			}
		}},
		{"no directory", "unreadable-file", func(t *testing.T, dir string) {
			if err := os.Remove(dir); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "policies")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			c.make(t, dir)
			for _, args := range [][]string{
				{"validate", dir},
				{"render", "--policy", dir},
				{"serve", "--policy", dir, "--xds-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"},
			} {
				r := breakwater(t, args...)
				if r.code != 1 || strings.Contains(r.stderr, "panic") || strings.Contains(r.stderr, "goroutine ") {
					t.Errorf("%s: exit code %d, want 1 and a message:\n%.2000s", args[0], r.code, r.stderr)
				}
				if c.rule != "" && !strings.Contains(r.stderr, "["+c.rule+"]") {
					t.Errorf("the output of %s has no [%s]:\n%.2000s", args[0], c.rule, r.stderr)
				}
				if len(r.stderr) > 64<<10 {
					t.Errorf("%s prints %d bytes of errors", args[0], len(r.stderr))
				}
			}
		})
	}
}

// TestUsage shows exit codes and errors for likely mistakes on the command line.
func TestUsage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte(service("payments", "127.0.0.1:8080")), 0o644); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cases := []struct {
		args []string
		code int
		says string
	}{
		{[]string{}, 0, ""},
		{[]string{"--help"}, 0, ""},
		{[]string{"validate", dir}, 0, ""},
		{[]string{"completion", "bash"}, 0, ""},
		{[]string{"serv"}, 2, `unknown command "serv"`},
		{[]string{"validate"}, 2, "requires at least 1 arg"},
		{[]string{"serve"}, 2, "no policy; name a directory or file"},
		{[]string{"serve", "--polcy", dir}, 2, "unknown flag: --polcy"},
		{[]string{"serve", "--policy", dir, "--log-format", "xml"}, 2, "--log-format"},
		{[]string{"render", "--policy", dir, "--output", "xml"}, 2, "yaml or json"},
		{[]string{"bootstrap", "--node-id", "a"}, 2, `"node-cluster" not set`},
		{[]string{"bootstrap", "--node-id", "a", "--node-cluster", "b", "--listen", "10000"}, 2, "--listen"},
		{[]string{"bootstrap", "--node-id", "a", "--node-cluster", "b", "--xds", "nowhere"}, 2, "nowhere"},
		{[]string{"serve", "--policy", dir, "--xds-listen", taken.Addr().String(), "--http-listen", "127.0.0.1:0"}, 1, taken.Addr().String()},
		{[]string{"serve", "--policy", dir, "--http-listen", taken.Addr().String(), "--xds-listen", "127.0.0.1:0"}, 1, taken.Addr().String()},
		{[]string{"serve", "--policy", dir, "--xds-listen", "0.0.0.0:0"}, 1, "--insecure"},
		{[]string{"serve", "--policy", dir, "--tls-cert", "a.pem"}, 1, "--tls-key"},
	}
	for _, c := range cases {
		r := breakwater(t, c.args...)
		if r.code != c.code || !strings.Contains(r.stderr, c.says) {
			t.Errorf("breakwater %s: exit code %d, want %d, saying %q:\n%s", strings.Join(c.args, " "), r.code, c.code, c.says, r.stderr)
		}
		if c.code == 0 && (r.stdout == "" || r.stderr != "") {
			t.Errorf("breakwater %s: nothing on standard output, or something on standard error:\n%s", strings.Join(c.args, " "), r.stderr)
		}
	}
}

// TestValidateJSON shows that validate prints a JSON list, even if there are no problems.
func TestValidateJSON(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "policy.yaml")
	for text, want := range map[string]int{
		service("payments", "127.0.0.1:8080"):                     0,
		service("payments", "127.0.0.1:99999") + guard("nowhere"): 2,
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		r := breakwater(t, "validate", path, "--output", "json")
		var problems []struct{ File, Rule string }
		if err := json.Unmarshal([]byte(r.stdout), &problems); err != nil {
			t.Fatalf("%v:\n%s", err, r.stdout)
		}
		if len(problems) != want || (r.code == 0) != (want == 0) {
			t.Errorf("exit code %d, %d problems, want %d:\n%s", r.code, len(problems), want, r.stdout)
		}
		for _, p := range problems {
			if p.File != path || p.Rule == "" {
				t.Errorf("problem %+v, want the file %s and a rule", p, path)
			}
		}
	}
}

// TestEnvironmentDefaults shows that variables of the environment change the defaults, and that a value that does not parse
// is an error.
func TestEnvironmentDefaults(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte(service("payments", "127.0.0.1:8080")+guard("payments")), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CIRCUIT_BREAKER_TIMEOUT_SECONDS", "7")
	if r := breakwater(t, "render", "--policy", dir); !strings.Contains(r.stdout, "timeout: 7s") {
		t.Errorf("the timeout of the environment is not in the routes:\n%s%s", r.stdout, r.stderr)
	}
	t.Setenv("CIRCUIT_BREAKER_FAILURE_THRESHOLD", "many")
	if r := breakwater(t, "validate", dir); r.code != 1 || !strings.Contains(r.stderr, "CIRCUIT_BREAKER_FAILURE_THRESHOLD = ") {
		t.Errorf("exit code %d, want 1 and the variable's name:\n%s", r.code, r.stderr)
	}
}
