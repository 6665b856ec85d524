package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"breakwater.dev/policy"
)

const onePolicy = "apiVersion: breakwater.dev/v1alpha1\nkind: Upstream\nmetadata: {name: web}\nspec: {endpoints: [{address: 10.0.0.1, port: 80}]}\n"

// shared is a policy whose copies users share, on purpose.
const shared = "---\napiVersion: breakwater.dev/v1alpha1\nkind: BreakerPolicy\nmetadata: {name: web}\n" +
	"spec: {targetRefs: [{kind: Upstream, name: web}], fallback: {cached: {keyHeaders: [accept]}}}\n"

// pipe returns the reading end of a pipe that text comes from.
func pipe(t *testing.T, text string) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		defer w.Close()
		_, _ = io.WriteString(w, text) // the reader may have had enough
	}()
	t.Cleanup(func() {
		r.Close()
		<-written
	})
	return r
}

// TestPipes: commands that read once take standard input, process substitutions and named
// pipes, within the same bounds as files; together with the files they are one policy.
func TestPipes(t *testing.T) {
	noEnvironment(t)
	dir := t.TempDir()
	breakers := filepath.Join(dir, "breakers.yaml")
	if err := os.WriteFile(breakers, []byte("services: {web: {failure_threshold: 5}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	named := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(named, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args   []string
		text   string
		fd     bool // the policy comes from /dev/fd, else by standard input
		code   int
		prints string
	}{
		"standard input":         {args: []string{"validate", "-"}, text: onePolicy, prints: "1 upstream"},
		"its device":             {args: []string{"validate", "/dev/stdin", breakers}, text: onePolicy, prints: "1 upstream, 1 breaker"},
		"a process substitution": {args: []string{"validate", breakers}, fd: true, text: onePolicy, prints: "1 upstream, 1 breaker"},
		"render":                 {args: []string{"render"}, fd: true, text: onePolicy, prints: "name: web"},
		"render by its flag":     {args: []string{"render", "--policy", "-"}, text: onePolicy, prints: "name: web"},
		"a problem":              {args: []string{"validate", "-"}, text: "a: 1\n", code: 1, prints: "stdin:1:1: "},
		"too large":              {args: []string{"validate", "-"}, text: strings.Repeat("#\n", policy.MaxFileSize), code: 1, prints: "[file-too-large]"},
		"too large by a pipe":    {args: []string{"validate"}, fd: true, text: strings.Repeat("#\n", policy.MaxFileSize), code: 1, prints: "[file-too-large]"},
		"a note":                 {args: []string{"validate", "-"}, text: onePolicy + shared, prints: "no problems (revision"},
		"its text":               {args: []string{"validate", "-"}, text: onePolicy + shared, prints: "note: stdin:6: fallback.cached.keyHeaders: one copy answers all requests to web"},
		"nothing":                {args: []string{"validate", "-"}, code: 1, prints: "[no-policies]"},
		"twice":                  {args: []string{"validate", "-", "-"}, text: onePolicy, prints: "1 upstream"},
		"a server":               {args: []string{"serve", "-", "--state-dir", ""}, code: 1, prints: "stdin: a pipe; must be a file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			in := pipe(t, c.text)
			args := c.args
			if c.fd {
				args = append(args, fmt.Sprintf("/dev/fd/%d", in.Fd()))
			}
			var out strings.Builder
			code := runWith(in, args, &out, &out)
			if code != c.code || !strings.Contains(out.String(), c.prints) {
				t.Errorf("exit code %d, got %s, want %q", code, &out, c.prints)
			}
		})
	}
	t.Run("a named pipe", func(t *testing.T) {
		written := make(chan error, 1)
		go func() { written <- os.WriteFile(named, []byte(onePolicy), 0) }()
		var out strings.Builder
		if code := run([]string{"validate", named}, &out, &out); code != 0 || !strings.Contains(out.String(), "1 upstream") {
			t.Errorf("exit code %d, got %s", code, &out)
		}
		if err := <-written; err != nil {
			t.Error(err)
		}
	})
}

// TestFullDisk: a command that cannot print its answer says so, and does not look as if all were well.
func TestFullDisk(t *testing.T) {
	noEnvironment(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	policies := filepath.Join(t.TempDir(), "policies.yaml")
	if err := os.WriteFile(policies, []byte(onePolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	f := newFake(t, map[string]string{"GET /breakers": "200\n" + `{"breakers": [{"key": "stock", "state": "closed"}]}`})
	for _, args := range [][]string{
		{"version"},
		{"validate", policies},
		{"validate", policies, "--output", "json"},
		{"render", policies},
		{"bootstrap", "--node-id", "shop-1", "--node-cluster", "shop"},
		{"breakers", "list", "--server", f.URL},
		{"breakers", "list", "--server", f.URL, "--output", "json"},
	} {
		var stderr strings.Builder
		if code := run(args, full, &stderr); code != exitProblems || !strings.Contains(stderr.String(), "no space left on device") {
			t.Errorf("%v: exit code %d, it says %q", args, code, &stderr)
		}
	}
}
