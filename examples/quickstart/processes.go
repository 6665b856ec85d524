package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// processes are the control plane and the proxy.
type processes []*process

type process struct {
	name   string
	cmd    *exec.Cmd
	log    string
	exited chan struct{}
	err    error // after exited
}

// startAll starts the control plane, then Envoy, and returns when both are ready.
// What it started it returns with an error, too, so that it can be stopped.
func startAll(ctx context.Context, dir string, at addresses) (processes, error) {
	var all processes
	envoy, err := findEnvoy()
	if err != nil {
		return all, err
	}
	breakwater := filepath.Join("bin", "breakwater")
	policies, err := policiesFor(at.ip, dir)
	if err != nil {
		return all, err
	}
	fmt.Println("Starting the control plane:  breakwater serve --policy examples/quickstart/policies")
	p, err := launch(dir, "control plane", breakwater, "serve", "--policy", policies,
		"--xds-listen", at.xds, "--http-listen", at.http, "--state-dir", "")
	if err != nil {
		return all, err
	}
	all = append(all, p)
	if err := p.ready(ctx, "http://"+at.http+"/health/ready"); err != nil {
		return all, err
	}
	bootstrap, err := exec.CommandContext(ctx, breakwater, "bootstrap", "--node-id", "quickstart-1", "--node-cluster", "quickstart",
		"--xds", at.xds, "--listen", at.egress, "--admin", at.admin).Output()
	if err != nil {
		return all, fmt.Errorf("printing the bootstrap: %w", err)
	}
	config := filepath.Join(dir, "envoy.yaml")
	if err := os.WriteFile(config, bootstrap, 0o600); err != nil {
		return all, err
	}
	fmt.Println("Starting Envoy:              envoy -c <what breakwater bootstrap prints>")
	p, err = launch(dir, "envoy", envoy, "-c", config, "--use-dynamic-base-id", "--concurrency", "1", "-l", "warn")
	if err != nil {
		return all, err
	}
	all = append(all, p)
	return all, p.ready(ctx, "http://"+at.admin+"/ready")
}

// policiesFor returns the directory of the policies, or of a copy with another address.
func policiesFor(ip, dir string) (string, error) {
	const original = "examples/quickstart/policies"
	if ip == defaultIP {
		return original, nil
	}
	files, err := filepath.Glob(filepath.Join(original, "*.yaml"))
	if err != nil {
		return "", err
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return "", err
		}
		text = bytes.ReplaceAll(text, []byte(defaultIP), []byte(ip))
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(f)), text, 0o600); err != nil {
			return "", err
		}
	}
	return dir, nil
}

func launch(dir, name, path string, args ...string) (*process, error) {
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: exec.Command(path, args...), log: log.Name(), exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// Ctrl-C is for us: we stop the others, in order.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the %s: %w", name, err), log.Close())
	}
	go func() {
		p.err = errors.Join(p.cmd.Wait(), log.Close())
		close(p.exited)
	}()
	return p, nil
}

// ready waits until a page answers 200.
func (p *process) ready(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if get(ctx, url, "").status == http.StatusOK {
			return nil
		}
		select {
		case <-p.exited:
			return p.died()
		case <-ctx.Done():
			return fmt.Errorf("the %s is not ready: %w\n%s", p.name, ctx.Err(), p.tail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (p *process) died() error {
	return fmt.Errorf("the %s ended by itself: %v\n%s", p.name, p.err, p.tail())
}

func (p *process) tail() []byte {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return []byte(err.Error())
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-15):], []byte("\n"))
}

// stop ends everything, the proxy first, and waits for it.
func (ps processes) stop() error {
	var problems []error
	for i := len(ps) - 1; i >= 0; i-- {
		p := ps[i]
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error says that it has ended
		select {
		case <-p.exited:
		case <-time.After(15 * time.Second):
			problems = append(problems, fmt.Errorf("the %s did not stop when asked to, and was killed", p.name))
			_ = p.cmd.Process.Kill()
			<-p.exited
		}
	}
	return errors.Join(problems...)
}
