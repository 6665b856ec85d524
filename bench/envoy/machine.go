package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"breakwater.dev/bench/internal/process"
)

// machine has the directory, the addresses and the processes of a run. They end with it.
type machine struct {
	ctx       context.Context
	options   options
	dir       string
	processes []*process.Process
	closers   []func()
	files     int
	workers   int // the workers of each Envoy; 0: one
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
		p.Kill()
	}
	for _, c := range m.closers[closers:] {
		c()
	}
	m.processes, m.closers = m.processes[:processes], m.closers[:closers]
}

func (m *machine) start(path string, args ...string) (*process.Process, error) {
	m.files++
	p, err := process.Start(filepath.Join(m.dir, strconv.Itoa(m.files)+".log"), path, args...)
	if err != nil {
		return nil, err
	}
	m.processes = append(m.processes, p)
	return p, nil
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
