// Package processes runs the programs of an example.
//
// In: programs with their arguments, and a directory for logs.
// Out: running programs, and the end of their logs when they fail.
// Called by: examples.
// Never: returns from stopping a process before the process has ended.
// Concurrency: a process may be stopped from another goroutine than the one that started it.
package processes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	// patience is how long a program may take to become ready, and to end after it is asked to.
	patience = 30 * time.Second
	pollGap  = 20 * time.Millisecond
)

// Interruptible returns a context that ends when the example has to: at Ctrl-C or SIGTERM, when its terminal is closed, or when it
// prints and its output has lost its reader. Any of these would else end the example and leave its programs behind.
func Interruptible() (ctx context.Context, stop context.CancelFunc) {
	return signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
}

// Command is a program to run.
type Command struct {
	Name string // for messages, and for the name of the log file
	Path string
	Args []string
	// As is the user that the program runs as; nil: the current user.
	As *syscall.Credential
	// Stop is the signal that asks the program to end; 0: SIGTERM.
	Stop syscall.Signal
}

// Process is a program that was started.
type Process struct {
	command Command
	cmd     *exec.Cmd
	log     string
	exited  chan struct{}
	err     error // valid once exited is closed
}

// Launch starts a program. Its output is appended to the file NAME.log in dir.
func Launch(dir string, c Command) (*Process, error) {
	log, err := os.OpenFile(filepath.Join(dir, c.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	p := &Process{command: c, cmd: exec.Command(c.Path, c.Args...), log: log.Name(), exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir = log, log, ""
	// A process group of its own keeps Ctrl-C away from the program: the example stops its programs itself, in order.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: c.As}
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the %s: %w", c.Name, err), log.Close())
	}
	go func() {
		p.err = errors.Join(p.cmd.Wait(), log.Close())
		close(p.exited)
	}()
	return p, nil
}

// Exited is closed when the program has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Answers waits until url answers with status 200. It has the same time limit as [Process.Ready].
func (p *Process) Answers(ctx context.Context, url string) error {
	return p.Ready(ctx, func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", url, resp.Status)
		}
		return nil
	})
}

// Ready calls check until it returns no error. It gives up after 30 s, when ctx ends, or when the program ends; its
// error then has the end of the log.
func (p *Process) Ready(ctx context.Context, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return p.Died()
		case <-ctx.Done():
			return fmt.Errorf("the %s is not ready: %w\n%s", p.command.Name, err, p.Tail())
		case <-time.After(pollGap):
		}
	}
}

// Died returns the error for a program that ended by itself. Call it after Exited is closed.
func (p *Process) Died() error {
	return fmt.Errorf("the %s ended by itself: %v\n%s", p.command.Name, p.err, p.Tail())
}

// Tail returns the last lines that the program printed.
func (p *Process) Tail() []byte {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return []byte(err.Error())
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-15):], []byte("\n"))
}

// Kill ends the program with SIGKILL, as a crash would, and waits until it has ended.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // the only error is that the program has ended already
	<-p.exited
}

// Freeze stops the program without ending it: its connections stay, and nothing answers. Thaw continues it.
func (p *Process) Freeze() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw continues a frozen program.
func (p *Process) Thaw() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

// Stop asks the program to end, and waits until it has. It kills a program that has not ended after 30 s, and returns
// an error then.
func (p *Process) Stop() error {
	signal := p.command.Stop
	if signal == 0 {
		signal = syscall.SIGTERM
	}
	// The only error of both is that the program has ended already.
	_ = p.cmd.Process.Signal(signal)
	_ = p.Thaw() // a frozen program would not see the signal
	select {
	case <-p.exited:
		return nil
	case <-time.After(patience):
		p.Kill()
		return fmt.Errorf("the %s did not stop when asked to, and was killed", p.command.Name)
	}
}

// FindEnvoy returns the path of an Envoy. It looks in $ENVOY, in the PATH, and in the directory tools, in that order,
// as `make tools` does.
func FindEnvoy(tools string) (string, error) { return find("ENVOY", "envoy", tools) }

// FindValkey returns the path of a Valkey server. It looks in $VALKEY_SERVER, in the PATH, and in the directory tools, in that
// order, as `make tools` does.
func FindValkey(tools string) (string, error) { return find("VALKEY_SERVER", "valkey-server", tools) }

// find returns the path of a program: the one that an environment variable has, one in the PATH, or one in the directory tools.
func find(variable, name, tools string) (string, error) {
	if path := os.Getenv(variable); path != "" {
		return path, nil
	}
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	path, err := filepath.Abs(filepath.Join(tools, name))
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(path); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
		return "", fmt.Errorf("there is no %s; `make tools` gets one", name)
	}
	return path, nil
}

// DemoSeconds returns how long a demonstration keeps running after its story, from $DEMO_SECONDS. 0 means until
// Ctrl-C.
func DemoSeconds() (time.Duration, error) {
	text := os.Getenv("DEMO_SECONDS")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n <= 0 || n > 86_400 {
		return 0, fmt.Errorf("DEMO_SECONDS = %q; must be a number of seconds, such as 5", text)
	}
	return time.Duration(n * float64(time.Second)), nil
}
