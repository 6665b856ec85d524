package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"breakwater.dev/internal/envoybin"
	"breakwater.dev/internal/redistest"
)

// demonstration is a program below examples that tells a story.
type demonstration struct {
	name  string
	build func() (string, error)
	ports []string
}

var (
	quickstart = demonstration{
		"quickstart", buildOnce("quickstart", "breakwater.dev/examples/quickstart"),
		[]string{"18000", "18080", "10000", "9901", "18101", "18102"},
	}
	replicasDemo = demonstration{
		"replicas", buildOnce("demo-replicas", "breakwater.dev/examples/replicas"),
		[]string{"18000", "18001", "18002", "18080", "18081", "18082", "10000", "10001", "10002", "10003", "9901", "9902", "9903", "9904",
			"16379", "18101", "18102"},
	}
)

// rehearsal is a run of a demonstration on an address of its own, in a directory that has what it needs of the repository.
type rehearsal struct {
	*demonstration
	ip  string
	dir string
	cmd *exec.Cmd
	out strings.Builder
}

// rehearse prepares a demonstration. It does not run yet.
func rehearse(t *testing.T, d *demonstration) *rehearsal {
	t.Helper()
	program, err := d.build()
	if err != nil {
		t.Fatal(err)
	}
	path, err := filepath.Abs(binary)
	if err != nil {
		t.Fatal(err)
	}
	r := &rehearsal{demonstration: d, ip: ownIP(t), dir: t.TempDir()}
	policies := filepath.Join("examples", d.name, "policies")
	if err := errors.Join(
		os.Mkdir(filepath.Join(r.dir, "bin"), 0o755),
		os.Symlink(path, filepath.Join(r.dir, "bin/breakwater")),
		os.CopyFS(filepath.Join(r.dir, policies), os.DirFS(filepath.Join(root, policies))),
	); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 6*patience)
	t.Cleanup(cancel)
	r.cmd = exec.CommandContext(ctx, program)
	r.cmd.Dir = r.dir
	r.cmd.Cancel = func() error { return r.cmd.Process.Signal(syscall.SIGINT) } // so that it ends its own processes
	r.cmd.Env = append(os.Environ(), "DEMO_IP="+r.ip, "DEMO_SECONDS=1", "ENVOY="+envoybin.Path(t), "VALKEY_SERVER="+redistest.Valkey.Path(t))
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.out
	return r
}

// ended fails the test if a process of the demonstration may be left.
func (r *rehearsal) ended(t *testing.T) {
	t.Helper()
	if err := portsFree(r.ip, r.ports...); err != nil {
		t.Errorf("%s: %v", r.name, err)
	}
}

// TestDemoOfReplicas runs the whole story of replicas, which checks each of its steps itself.
func TestDemoOfReplicas(t *testing.T) {
	t.Parallel()
	r := rehearse(t, &replicasDemo)
	if err := r.cmd.Run(); err != nil {
		t.Fatalf("the demonstration ended with %v and the output\n%s", err, &r.out)
	}
	inOrder(t, r.out.String(),
		"alpha owns ", "beta  owns ", "gamma owns ", "configures shop-", "payments answers 200 through each of the 4 proxies",
		"7 calls have failed", "one more has failed", "because of consecutive_failures", "none of them reached payments",
		"the breaker is half-open", "kill -9 of ", "with 3 probes in flight", "the others own the breakers of ", "probes arrive again",
		"because of probes_succeeded", "at once are 3, of 3 permitted", "and no error",
		"/health/ready: ready; /metrics: breakwater_replicas_members 2, breakwater_replicas_unreachable 0, breakwater_store_reachable 0",
		"one more has failed", "because of probes_succeeded", "is one of the three again",
		"breakwater_replicas_members 3, breakwater_replicas_unreachable 0, breakwater_store_reachable 1",
		"forced open at alpha", "forced open at beta", "forced open at gamma", "http://"+r.ip+":18080", "Stopping.",
	)
	r.ended(t)
}

// inOrder fails the test if an output does not have the parts one after the other.
func inOrder(t *testing.T, out string, parts ...string) {
	t.Helper()
	rest := out
	for _, part := range parts {
		i := strings.Index(rest, part)
		if i < 0 {
			t.Fatalf("the output of the demonstration does not have %q in its place:\n%s", part, out)
		}
		rest = rest[i+len(part):]
	}
}

// TestDemoFails shows that a demonstration ends with an error that says which step did not happen, and ends all its processes. Here a breaker
// needs one more failure than its demonstration makes.
func TestDemoFails(t *testing.T) {
	t.Parallel()
	for d, change := range map[*demonstration][2]string{
		&quickstart:   {"consecutiveFailures: 5", "consecutiveFailures: 6"},
		&replicasDemo: {"consecutiveFailures: 8", "consecutiveFailures: 9"},
	} {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			r := rehearse(t, d)
			policy := filepath.Join(r.dir, "examples", d.name, "policies/payments.yaml")
			text, err := os.ReadFile(policy)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(policy, bytes.Replace(text, []byte(change[0]), []byte(change[1]), 1), 0o644); err != nil {
				t.Fatal(err)
			}
			const want = "in vain until the breaker of payments is open"
			if err := r.cmd.Run(); err == nil || !strings.Contains(r.out.String(), want) {
				t.Errorf("the demonstration ended with %v, want an error with %q, and the output\n%s", err, want, &r.out)
			}
			r.ended(t)
		})
	}
}

// TestDemoPortTaken shows the error of a demonstration if one of its ports is in use.
func TestDemoPortTaken(t *testing.T) {
	t.Parallel()
	for d, want := range map[*demonstration]string{&quickstart: "Envoy's admin page", &replicasDemo: "shop-1's admin page"} {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			r := rehearse(t, d)
			l, err := net.Listen("tcp", r.ip+":9901")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if err := r.cmd.Run(); err == nil || !strings.Contains(r.out.String(), r.ip+":9901, which is to be "+want) {
				t.Errorf("the demonstration ended with %v and the output\n%s", err, &r.out)
			}
		})
	}
}

// TestDemoInterrupted shows that a demonstration ends all its processes at Ctrl-C, when its terminal is closed, and when its output
// has lost its reader.
func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		of        *demonstration
		interrupt func(*rehearsal, io.Closer) error
	}{
		{"quickstart, Ctrl-C", &quickstart, func(r *rehearsal, _ io.Closer) error { return r.cmd.Process.Signal(syscall.SIGINT) }},
		{"quickstart, terminal closed", &quickstart, func(r *rehearsal, _ io.Closer) error { return r.cmd.Process.Signal(syscall.SIGHUP) }},
		{"quickstart, not read", &quickstart, func(_ *rehearsal, output io.Closer) error { return output.Close() }},
		{"replicas, Ctrl-C", &replicasDemo, func(r *rehearsal, _ io.Closer) error { return r.cmd.Process.Signal(syscall.SIGINT) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := rehearse(t, tt.of)
			r.cmd.Stdout = nil
			output, err := r.cmd.StdoutPipe() // is not read: the output of the demonstration fits into the pipe
			if err != nil {
				t.Fatal(err)
			}
			if err := r.cmd.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the breaker of the demonstration is open", func() error {
				if body, err := fetch("http://" + r.ip + ":18080/breakers/payments"); err != nil || !strings.Contains(body, `"open"`) {
					return fmt.Errorf("%v %s", err, body)
				}
				return nil
			})
			if err := tt.interrupt(r, output); err != nil {
				t.Fatal(err)
			}
			if err := r.cmd.Wait(); err != nil {
				t.Errorf("it ended with %v\n%s", err, &r.out)
			}
			r.ended(t)
		})
	}
}
