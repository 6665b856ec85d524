package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"breakwater.dev/internal/envoybin"
)

// root is the path of the repository's root.
const root = "../.."

// TestReadme runs the commands of the README in their order, as a reader does who copies them, on a loopback address of its own.
// It does not run the command that runs all tests, because that would run this test again. It checks that CI runs it.
func TestReadme(t *testing.T) {
	t.Parallel()
	commands := scriptOf(page(t, "README.md"))
	if len(commands) < 10 || commands[0] != "make demo" || commands[1] != "make test" || commands[2] != "make tools build" {
		t.Fatalf("the README begins with commands that this test cannot run: %q", commands)
	}
	if ci, err := os.ReadFile(filepath.Join(root, ".ci/run")); err != nil || !strings.Contains(string(ci), "\nmake test\n") {
		t.Errorf("CI does not run make test: %v", err)
	}
	c := newCheckout(t)
	demo(t, c.ip)
	if out, err := c.bash(t, commands[2]); err != nil {
		t.Fatalf("%s: %v\n%s", commands[2], err, out)
	}
	built := filepath.Join(c.dir, "bin/breakwater")
	if err := errors.Join(os.Remove(built), os.Symlink(filepath.Join("..", programs, "breakwater"), built)); err != nil {
		t.Fatal(err) // the link replaces the built program by the one with the race detector, on the address of the test
	}
	c.run(t, commands[3:])
	for _, name := range []string{"breakwater.log", "envoy.log"} {
		log, err := os.ReadFile(filepath.Join(c.dir, "bin", name))
		if err != nil || len(log) == 0 || bytes.Contains(log, []byte("DATA RACE")) {
			t.Errorf("%s: %v\n%s", name, err, log)
		}
	}
	eventually(t, "all ports are free", func() error { return portsFree(c.ip, "18000", "18080", "10000", "9901", "8001", "8002") })
}

// policiesOn returns a copy of the quickstart's policies for another address.
func policiesOn(t *testing.T, ip string) string {
	t.Helper()
	dir := t.TempDir()
	files, err := filepath.Glob(filepath.Join(root, "examples/quickstart/policies/*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no policies: %v", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.ReplaceAll(text, []byte("127.0.0.1"), []byte(ip))
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(f)), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// demo runs the demonstration, and checks its output and that it has ended all its processes.
func demo(t *testing.T, ip string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "make", "demo")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "DEMO_SECONDS=1", "DEMO_IP="+ip, "ENVOY="+envoybin.Path(t))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("make demo: %v\n%s", err, out)
	}
	inOrder(t, string(out),
		"the breaker of payments is closed", "payments -> 500", "the breaker of payments is open, because of consecutive_failures",
		`payments -> 503`, "try later", "stock    -> 200", "200 more calls were rejected", "0 reached payments",
		"half_open", "probe_failed", "half_open", "probes_succeeded", "payments -> 200", "stock    -> 200",
		"http://"+ip+":18080/breakers", "Stopping.",
	)
	if err := portsFree(ip, quickstart.ports...); err != nil {
		t.Error(err)
	}
}
