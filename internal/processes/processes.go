// Package processes runs the programs that an example is made of.
//
// In: what to run, and a directory for logs.
// Out: programs that are ready, and their logs when they are not.
// Called by: examples.
// Never: leaves a process behind that was stopped.
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
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	// patience is how long a program has to become ready, and to end.
	patience = 30 * time.Second
	pollGap  = 20 * time.Millisecond
)

// Command is a program to run.
type Command struct {
	Name string // what people call it
	Path string
	Args []string
	// As runs it for another user; nil: for this one.
	As *syscall.Credential
	// Stop is the signal to end it by; 0: SIGTERM.
	Stop syscall.Signal
}

// Process is a program that was started.
type Process struct {
	command Command
	cmd     *exec.Cmd
	log     string
	exited  chan struct{}
	err     error // after exited
}

// Launch starts a program; its output goes to a file in dir.
func Launch(dir string, c Command) (*Process, error) {
	log, err := os.OpenFile(filepath.Join(dir, c.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	p := &Process{command: c, cmd: exec.Command(c.Path, c.Args...), log: log.Name(), exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir = log, log, ""
	// Ctrl-C is for us: we stop the others, in order.
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

// Answers waits until a page answers 200.
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

// Ready waits until check has no error.
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

// Died says how a program ended that was not to.
func (p *Process) Died() error {
	return fmt.Errorf("the %s ended by itself: %v\n%s", p.command.Name, p.err, p.Tail())
}

// Tail is the end of what a program printed.
func (p *Process) Tail() []byte {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return []byte(err.Error())
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-15):], []byte("\n"))
}

// Kill ends a program as a crash would, and waits for it.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // an error says that it has ended
	<-p.exited
}

// Stop asks a program to end, and waits until it has.
func (p *Process) Stop() error {
	signal := p.command.Stop
	if signal == 0 {
		signal = syscall.SIGTERM
	}
	_ = p.cmd.Process.Signal(signal) // an error says that it has ended
	select {
	case <-p.exited:
		return nil
	case <-time.After(patience):
		p.Kill()
		return fmt.Errorf("the %s did not stop when asked to, and was killed", p.command.Name)
	}
}

// FindEnvoy looks where `make tools` does: $ENVOY, the PATH, tools.
func FindEnvoy(tools string) (string, error) {
	if e := os.Getenv("ENVOY"); e != "" {
		return e, nil
	}
	if path, err := exec.LookPath("envoy"); err == nil {
		return path, nil
	}
	path, err := filepath.Abs(filepath.Join(tools, "envoy"))
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(path); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
		return "", errors.New("there is no Envoy; `make tools` gets one")
	}
	return path, nil
}

// DemoSeconds reads from $DEMO_SECONDS how long a demonstration stays after its story; 0 means
// until Ctrl-C.
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
