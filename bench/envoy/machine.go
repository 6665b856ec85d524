package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// machine has the directory, the addresses and the processes of a run. They end with it.
type machine struct {
	ctx       context.Context
	options   options
	dir       string
	processes []*process
	closers   []func()
	files     int
}

func newMachine(ctx context.Context, o options) (*machine, error) {
	dir, err := os.MkdirTemp("", "breakwater-bench")
	if err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	return &machine{ctx: ctx, options: o, dir: dir}, nil
}

// close ends all processes and services, and removes the directory.
func (m *machine) close() error {
	m.closeTo(0, 0)
	return os.RemoveAll(m.dir)
}

// scope runs f, and ends the processes and services that f has started.
func (m *machine) scope(f func() error) error {
	processes, closers := len(m.processes), len(m.closers)
	defer m.closeTo(processes, closers)
	return f()
}

func (m *machine) closeTo(processes, closers int) {
	for _, p := range m.processes[processes:] {
		p.kill()
	}
	for _, c := range m.closers[closers:] {
		c()
	}
	m.processes, m.closers = m.processes[:processes], m.closers[:closers]
}

// process is a running program.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	log    string
}

func (m *machine) start(path string, args ...string) (*process, error) {
	m.files++
	log := filepath.Join(m.dir, strconv.Itoa(m.files)+".log")
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(path, args...), exited: make(chan struct{}), log: log}
	p.cmd.Stdout, p.cmd.Stderr = f, f
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", path, err), f.Close())
	}
	go func() {
		_ = p.cmd.Wait() // an error is expected, since a signal ends the process
		f.Close()
		close(p.exited)
	}()
	m.processes = append(m.processes, p)
	return p, nil
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // the only error is that the process has ended already
	<-p.exited
}

// ticks is how many units of the times in /proc a second has (USER_HZ, which Linux fixes).
const ticks = 100

// cpu returns the CPU time that the process has used.
func (p *process) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	return parseCPU(stat)
}

// parseCPU reads utime and stime (proc_pid_stat(5)). They come after the program's name, which may contain any character.
func parseCPU(stat []byte) (time.Duration, error) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("cannot read %q", stat)
	}
	user, err1 := strconv.ParseInt(string(fields[11]), 10, 64)
	system, err2 := strconv.ParseInt(string(fields[12]), 10, 64)
	return time.Duration(user+system) * time.Second / ticks, errors.Join(err1, err2)
}

// rss returns the resident memory of the process, in bytes.
func (p *process) rss() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("no VmRSS of process %d", p.cmd.Process.Pid)
}

// write writes a file in the machine's directory and returns its path.
func (m *machine) write(name, text string) (string, error) {
	m.files++
	path := filepath.Join(m.dir, fmt.Sprintf("%d-%s", m.files, name))
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// ip returns a loopback address that no other program uses, so that all parts can have their usual ports.
func (m *machine) ip() (string, error) {
	for range 100 {
		ip := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
		if l, err := net.Listen("tcp", ip+":18000"); err == nil {
			return ip, l.Close()
		}
	}
	return "", errors.New("found no free loopback address")
}

// waitUntil waits until check succeeds, for at most 30 s.
func (m *machine) waitUntil(what string, check func() error) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := check()
		switch {
		case err == nil:
			return nil
		case m.ctx.Err() != nil:
			return m.ctx.Err()
		case time.Now().After(deadline):
			return fmt.Errorf("%s: not within 30 s: %w", what, err)
		}
		m.sleep(5 * time.Millisecond)
	}
}

// sleep waits for the time d, or until the run is interrupted.
func (m *machine) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-m.ctx.Done():
	}
}

// fetch returns a page, and an error unless its status is 200.
func fetch(url string) (string, error) {
	resp, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: status %d: %s", url, resp.StatusCode, body)
	}
	return string(body), err
}
