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

// atOnce is how many tests run at once at least: they wait, mostly, for the timers of breakers.
const atOnce = 6

// runTogether has as many tests run at once, unless the command line says how many.
func runTogether() error {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if given {
		return nil
	}
	return flag.Set("test.parallel", strconv.Itoa(max(atOnce, runtime.GOMAXPROCS(0))))
}

func testMain(m *testing.M) int {
	if err := runTogether(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "breakwater-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// Control planes keep their breakers where the user does by default.
	if err := os.Setenv("XDG_STATE_HOME", filepath.Join(dir, "state")); err != nil {
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

// buildOnce builds a program for the first test that asks for it; name is that of the file.
func buildOnce(name, path string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		to := filepath.Join(filepath.Dir(binary), name)
		if out, err := exec.Command("go", "build", "-o", to, path).CombinedOutput(); err != nil {
			return "", fmt.Errorf("building %s: %w\n%s", path, err, out)
		}
		return to, nil
	})
}

// patience is how long a condition may take to come true on a busy machine. It
// bounds failures; nothing waits for it that goes well.
const patience = 30 * time.Second

// grows waits until a count has come so far. However long that takes, it has to grow meanwhile.
func grows(t *testing.T, what string, want int64, count func() int64) {
	t.Helper()
	for n := count(); n < want; {
		eventually(t, what, func() error {
			now := count()
			if now <= n {
				return fmt.Errorf("%d of %d, and no more come", now, want)
			}
			n = now
			return nil
		})
	}
}

// eventually waits until check returns nil, and fails the test with its last
// error if it does not in time.
func eventually(t *testing.T, what string, check func() error) {
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
			t.Fatalf("%s: not within %s: %v", what, patience, err)
		case <-t.Context().Done():
			t.Fatalf("%s: %v", what, t.Context().Err())
		case <-tick.C:
		}
	}
}

// holds checks that check returns nil again and again for d.
func holds(t *testing.T, what string, d time.Duration, check func() error) {
	t.Helper()
	end := time.NewTimer(d)
	defer end.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := check(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		select {
		case <-end.C:
			return
		case <-tick.C:
		}
	}
}

// noLog is for the servers of tests: clients that go away, or that do not trust them, are what tests are about.
var noLog = log.New(io.Discard, "", 0)

// process is a program that the test started and that is gone when it ends.
type process struct {
	cmd    *exec.Cmd
	log    string // path of what it printed
	exited chan struct{}
	err    error // after exited
}

// start runs a program, with its output in a file that a failed test shows.
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
			t.Logf("the end of what %s printed:\n%s", name, clipped(tail(p.output(), 60)))
		}
		if strings.Contains(p.output(), "WARNING: DATA RACE") {
			t.Errorf("%s: data race:\n%s", name, p.output())
		}
	})
	return p
}

// kill ends the process at once, as kill -9 does; twice is as good as once.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // an error says that it has ended already
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
		t.Fatalf("%s is running %s after it was to end", p.cmd.Path, patience)
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

// clipped shortens lines that nobody would read to their end.
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

// ownIP returns a loopback address that no other test uses, so that every test can
// have the same ports. Whether it is free shows when a port of it can be had.
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
