package loopback

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"breakwater.dev/bench/internal/process"
	"breakwater.dev/bench/internal/traffic"
)

// Machine has the directory, the addresses and the programs of a run. They end with it.
type Machine struct {
	Context context.Context // its end interrupts each wait
	Envoy   string          // the proxy's binary
	Workers int             // in each Envoy; 0: one

	dir       string
	processes []*process.Process
	closers   []func()
	files     int
}

// New returns a machine without programs. The caller calls [Machine.Close] in the end.
func New(ctx context.Context, envoy string) (*Machine, error) {
	dir, err := os.MkdirTemp("", "breakwater-bench")
	if err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	return &Machine{Context: ctx, Envoy: envoy, dir: dir}, nil
}

// Close ends all programs and services, and removes the directory.
func (m *Machine) Close() error {
	m.closeTo(0, 0)
	return os.RemoveAll(m.dir)
}

// Scope runs f, and ends the programs and services that f has started.
func (m *Machine) Scope(f func() error) error {
	processes, closers := len(m.processes), len(m.closers)
	defer m.closeTo(processes, closers)
	return f()
}

func (m *Machine) closeTo(processes, closers int) {
	for _, p := range m.processes[processes:] {
		p.Kill()
	}
	for _, c := range m.closers[closers:] {
		c()
	}
	m.processes, m.closers = m.processes[:processes], m.closers[:closers]
}

// AtEnd has f run when the machine is closed, or when the present scope ends.
func (m *Machine) AtEnd(f func()) { m.closers = append(m.closers, f) }

// Start starts a program. Its output goes to a file in the machine's directory.
func (m *Machine) Start(path string, args ...string) (*process.Process, error) {
	m.files++
	p, err := process.Start(filepath.Join(m.dir, strconv.Itoa(m.files)+".log"), path, args...)
	if err != nil {
		return nil, err
	}
	m.processes = append(m.processes, p)
	return p, nil
}

// Upstream starts a service.
func (m *Machine) Upstream() (*traffic.Upstream, error) {
	u, err := traffic.StartUpstream()
	if err != nil {
		return nil, err
	}
	m.AtEnd(u.Close)
	return u, nil
}

// Write writes a file in the machine's directory and returns its path.
func (m *Machine) Write(name, text string) (string, error) {
	m.files++
	path := filepath.Join(m.dir, fmt.Sprintf("%d-%s", m.files, name))
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// IP returns a loopback address that no other program uses, so that all programs can have their usual ports.
func (m *Machine) IP() (string, error) {
	for range 100 {
		ip := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
		if l, err := net.Listen("tcp", ip+":18000"); err == nil {
			return ip, l.Close()
		}
	}
	return "", errors.New("found no free loopback address")
}

// WaitUntil waits until check succeeds, for at most 30 s.
func (m *Machine) WaitUntil(what string, check func() error) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := check()
		switch {
		case err == nil:
			return nil
		case m.Context.Err() != nil:
			return m.Context.Err()
		case time.Now().After(deadline):
			return fmt.Errorf("%s: not within 30 s: %w", what, err)
		}
		m.Sleep(5 * time.Millisecond)
	}
}

// Sleep waits for the time d, or until the run is interrupted.
func (m *Machine) Sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-m.Context.Done():
	}
}
