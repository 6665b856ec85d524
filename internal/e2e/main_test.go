package e2e

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// binary is the control plane under test, built with the race detector.
var binary string

func TestMain(m *testing.M) {
	os.Exit(testMain(m))
}

// minParallel is the smallest number of tests that run at once. Most of the time, tests wait for the timers of breakers.
const minParallel = 6

// setParallel sets the number of tests that run at once, unless the command line does.
func setParallel() error {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if given {
		return nil
	}
	return flag.Set("test.parallel", strconv.Itoa(max(minParallel, runtime.GOMAXPROCS(0))))
}

func testMain(m *testing.M) int {
	if err := setParallel(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "breakwater-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// Control planes save their state in the default directory, which must not be the developer's.
	if err := os.Setenv("XDG_STATE_HOME", filepath.Join(dir, "state")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// A program with the race detector would stay for a second when it ends, and the tests run many commands.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=10 "+os.Getenv("GORACE")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	binary = filepath.Join(dir, "breakwater")
	build := exec.Command("go", "build", "-race", "-o", binary, "breakwater.dev/cmd/controlplane")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the control plane: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// buildOnce returns a function that builds a program at its first call, as a file with the given name.
func buildOnce(name, path string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		to := filepath.Join(filepath.Dir(binary), name)
		if out, err := exec.Command("go", "build", "-o", to, path).CombinedOutput(); err != nil {
			return "", fmt.Errorf("building %s: %w\n%s", path, err, out)
		}
		return to, nil
	})
}

// patience is how long a condition may take to come true on a busy machine. Only a test that fails waits until then.
const patience = 30 * time.Second

// grows waits until a count has reached a number. There is no limit of time while the count grows.
func grows(t *testing.T, condition string, want int64, count func() int64) {
	t.Helper()
	for n := count(); n < want; {
		eventually(t, condition, func() error {
			now := count()
			if now <= n {
				return fmt.Errorf("the count stays at %d of %d", now, want)
			}
			n = now
			return nil
		})
	}
}

// eventually waits until check returns nil. If that takes too long, it fails the test with the last error. The condition
// is for the message.
func eventually(t *testing.T, condition string, check func() error) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("%s: not within %s: %v", condition, patience, err)
		case <-t.Context().Done():
			t.Fatalf("%s: %v", condition, t.Context().Err())
		case <-tick.C:
		}
	}
}

// holds fails the test if check returns an error at any time within d.
func holds(t *testing.T, condition string, d time.Duration, check func() error) {
	t.Helper()
	end := time.NewTimer(d)
	defer end.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := check(); err != nil {
			t.Fatalf("%s: %v", condition, err)
		}
		select {
		case <-end.C:
			return
		case <-tick.C:
		}
	}
}

// noLog drops the log of a test's server. Tests have clients that leave, or that do not trust the server, on purpose.
var noLog = log.New(io.Discard, "", 0)

// process is a program that a test has started, and that ends at the latest with the test.
type process struct {
	cmd    *exec.Cmd
	log    string        // the path of the file with its output
	exited chan struct{} // closed when the program has ended
	err    error         // the result of the program; set before exited is closed
}

// start runs a program. Its output goes to a file, whose end a failed test shows.
func start(t *testing.T, name, path string, args ...string) *process {
	t.Helper()
	log := filepath.Join(t.TempDir(), name+".log")
	f, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.CommandContext(context.WithoutCancel(t.Context()), path, args...), log: log, exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = f, f
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		f.Close()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("the end of the output of %s:\n%s", name, clipped(tail(p.output(), 60)))
		}
		if strings.Contains(p.output(), "WARNING: DATA RACE") {
			t.Errorf("%s: data race:\n%s", name, p.output())
		}
	})
	return p
}

// kill ends the process at once, as kill -9 does. A second call has no effect.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // an error means that the process has ended already
	<-p.exited
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("signalling: %v", err)
	}
}

// ends waits until the process has ended by itself, and returns its exit code.
func (p *process) ends(t *testing.T) int {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		t.Fatalf("%s should have ended %s ago, and still runs", p.cmd.Path, patience)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) output() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// running fails the test if the process has ended by itself.
func (p *process) running(t *testing.T) {
	t.Helper()
	select {
	case <-p.exited:
		t.Fatalf("%s ended: %v\n%s", p.cmd.Path, p.err, tail(p.output(), 40))
	default:
	}
}

// clipped shortens long lines.
func clipped(s string) string {
	const most = 600
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if len(l) > most {
			lines[i] = l[:most] + "..."
		}
	}
	return strings.Join(lines, "\n")
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// ownIP returns a loopback address that no other test uses, so that every test can use the same ports. It takes an
// address for free if a port on it is free.
func ownIP(t *testing.T) string {
	t.Helper()
	for range 100 {
		ip := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
		l, err := net.Listen("tcp", net.JoinHostPort(ip, "18000"))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return ip
	}
	t.Fatal("found no free loopback address")
	return ""
}
