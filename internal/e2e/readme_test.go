package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"breakwater.dev/internal/envoybin"
)

// root is the root of the repository.
const root = "../.."

// readmeCommands returns the lines of all sh blocks of the README.
func readmeCommands(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for i, block := range strings.Split(string(text), "```") {
		if code, ok := strings.CutPrefix(block, "sh\n"); ok && i%2 == 1 {
			commands = append(commands, strings.Split(strings.TrimSpace(code), "\n")...)
		}
	}
	return commands
}

// TestReadme runs every command of the README in its order, on an address of its own:
// servers stay up until the end, the others have to succeed. The commands that run tests are held
// against what CI runs, since they would run this one.
func TestReadme(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	dir := t.TempDir()
	policies := policiesOn(t, ip)
	ports := strings.NewReplacer("127.0.0.1", ip, ".tools/envoy", envoybin.Path(t), "bin/breakwater", binary,
		"examples/quickstart/policies", policies)
	serve := " --xds-listen " + ip + ":18000 --http-listen " + ip + ":18080"
	env := "export BREAKWATER_SERVER=http://" + ip + ":18080 BREAKWATER_ADMIN_TOKEN=a-token-of-the-test; "
	ran := 0
	for _, command := range readmeCommands(t) {
		ran++
		line := ports.Replace(command)
		switch {
		case command == "make demo":
			demo(t, ip)
			payments := &upstream{address: ip + ":18101", handler: answer(http.StatusOK)} // the rest is run without the demo's
			payments.restart(t)
			t.Cleanup(payments.stop)
		case command == "make test":
			ci, err := os.ReadFile(filepath.Join(root, ".ci/run"))
			if err != nil || !strings.Contains(string(ci), "\nmake test\n") {
				t.Errorf("CI does not run %q: %v", command, err)
			}
		case strings.HasPrefix(command, "bin/breakwater serve "):
			server(t, dir, env, line+serve, "http://"+ip+":18080/health/ready")
		case command == "bin/breakwater breakers watch": // goes on
			p := start(t, "watch", "bash", "-c", env+"exec "+line)
			eventually(t, "watching says something", func() error { return printed(p, "payments") })
		case strings.HasPrefix(command, ".tools/envoy "):
			server(t, dir, env, line+" --use-dynamic-base-id", "http://"+ip+":9901/ready")
		case strings.HasPrefix(command, "bin/breakwater bootstrap "):
			flags := " --xds " + ip + ":18000 --listen " + ip + ":10000 --admin " + ip + ":9901 > "
			shell(t, dir, strings.Replace(line, " > ", flags, 1))
		case strings.HasPrefix(command, "curl "):
			shell(t, dir, strings.Replace(line, "curl ", "curl --silent --show-error --fail-with-body ", 1))
		default:
			shell(t, dir, env+line)
		}
	}
	if ran < 10 {
		t.Errorf("only %d commands found in the README", ran)
	}
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

// shell runs a line and wants it to succeed and to print something, or to write a file.
func shell(t *testing.T, dir, line string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", line)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	if len(out) == 0 && !strings.Contains(line, " > ") {
		t.Errorf("%s printed nothing", line)
	}
}

// printed tells whether a process has printed some text.
func printed(p *process, text string) error {
	out, err := os.ReadFile(p.log)
	if err != nil {
		return err
	}
	if !bytes.Contains(out, []byte(text)) {
		return fmt.Errorf("no %q in %q", text, out)
	}
	return nil
}

// server starts a line that stays up until the test ends.
func server(t *testing.T, dir, env, line, url string) {
	t.Helper()
	p := start(t, "readme", "bash", "-c", env+"cd "+dir+" && exec "+line)
	(&mesh{}).ready(t, p, url)
}

// demo runs the demonstration to its end, looks whether it told the whole story, and
// whether anything is left of it.
func demo(t *testing.T, ip string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "make", "demo")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "DEMO_SECONDS=1", "DEMO_IP="+ip, "ENVOY="+envoybin.Path(t))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("make demo: %v\n%s", err, out)
	}
	rest := string(out)
	for _, part := range []string{
		"the breaker of payments is closed", "payments -> 500", "the breaker of payments is open, because of consecutive_failures",
		`payments -> 503`, "try later", "stock    -> 200", "200 more calls were rejected", "0 reached payments",
		"half_open", "probe_failed", "half_open", "probes_succeeded", "payments -> 200", "stock    -> 200",
		"http://" + ip + ":18080/breakers", "Stopping.",
	} {
		i := strings.Index(rest, part)
		if i < 0 {
			t.Fatalf("the demonstration does not say %q, or not in this place:\n%s", part, out)
		}
		rest = rest[i+len(part):]
	}
	portsFree(t, ip)
}

// portsFree fails when somebody still listens on a port of the demonstration.
func portsFree(t *testing.T, ip string) {
	t.Helper()
	for _, port := range []string{"18000", "18080", "10000", "9901", "18101", "18102"} {
		l, err := net.Listen("tcp", net.JoinHostPort(ip, port))
		if err != nil {
			t.Errorf("after the demonstration: %v", err)
			continue
		}
		l.Close()
	}
}

// TestDemoPortTaken wants to be told which port, what for, and what to do.
func TestDemoPortTaken(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	l, err := net.Listen("tcp", ip+":9901")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cmd := exec.CommandContext(t.Context(), buildDemo(t))
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "DEMO_IP="+ip, "DEMO_SECONDS=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), ip+":9901, which is to be Envoy's admin page") {
		t.Errorf("got %v and\n%s", err, out)
	}
}

// TestDemoInterrupted presses Ctrl-C in the middle of the story.
func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	ip, quickstart, envoy := ownIP(t), buildDemo(t), envoybin.Path(t)
	path, err := filepath.Abs(binary)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := errors.Join(
		os.Mkdir(filepath.Join(dir, "bin"), 0o755),
		os.Symlink(path, filepath.Join(dir, "bin/breakwater")),
		os.CopyFS(filepath.Join(dir, "examples/quickstart/policies"), os.DirFS(filepath.Join(root, "examples/quickstart/policies"))),
	); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience) // to begin, and to stop
	defer cancel()
	cmd := exec.CommandContext(ctx, quickstart)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DEMO_IP="+ip, "ENVOY="+envoy)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the story has begun", func() error {
		if body, err := fetch("http://" + ip + ":18080/breakers/payments"); err != nil || !strings.Contains(body, `"open"`) {
			return fmt.Errorf("%v %s", err, body)
		}
		return nil
	})
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v\n%s", err, &out)
	}
	portsFree(t, ip)
}

func buildDemo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "quickstart")
	if out, err := exec.Command("go", "build", "-o", path, "breakwater.dev/examples/quickstart").CombinedOutput(); err != nil {
		t.Fatalf("building the demonstration: %v\n%s", err, out)
	}
	return path
}

// TestReadmePolicies holds the README's policies, and what it says a mistake looks
// like, against the binary.
func TestReadmePolicies(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	validate := func(policy string) result {
		path := filepath.Join(t.TempDir(), "payments.yaml")
		if err := os.WriteFile(path, []byte(policy), 0o644); err != nil {
			t.Fatal(err)
		}
		return breakwater(t, "validate", path)
	}
	var policies []string
	for i, block := range strings.Split(string(text), "```") {
		if code, ok := strings.CutPrefix(block, "yaml\n"); ok && i%2 == 1 {
			policies = append(policies, code)
		}
	}
	if len(policies) != 2 {
		t.Fatalf("%d policies in the README, want the long and the short form", len(policies))
	}
	for _, p := range []string{policies[0], service("payments", "10.0.0.7:8080") + "---\n" + policies[1]} {
		if r := validate(p); r.code != 0 {
			t.Errorf("a policy of the README has problems:\n%s", r.stderr)
		}
	}
	_, example, found := strings.Cut(string(text), "policies/payments.yaml:")
	example, _, _ = strings.Cut(example, "\n")
	r := validate(strings.Replace(policies[0], "failureRateThreshold: 50%", "failureRateThreshold: 0.5", 1))
	if !found || !strings.Contains(r.stderr, "payments.yaml:"+example+"\n") {
		t.Errorf("the README has the mistake %q; it is\n%s", example, r.stderr)
	}
}
