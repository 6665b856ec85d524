// Package process runs the programs that a benchmark measures, and reads what they use from Linux.
//
// In: the path of a program, its arguments, and a file for its output.
// Out: its CPU time and its memory.
// Called by: the benchmarks that start a control plane.
// Never: ends a process that it has not started.
// Concurrency: a Process is safe for concurrent use.
package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a running program.
type Process struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

// Start starts a program that writes its output to the file log, which is made or emptied.
func Start(log, path string, args ...string) (*Process, error) {
	return StartCommand(log, exec.Command(path, args...))
}

// StartCommand is [Start] for a command whose standard output and standard error were not set.
func StartCommand(log string, cmd *exec.Cmd) (*Process, error) {
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", cmd.Path, err), f.Close())
	}
	go func() {
		_ = cmd.Wait() // an error is expected, since a signal ends the process
		f.Close()
		close(p.exited)
	}()
	return p, nil
}

// Kill ends the process as kill -9 does, and returns when it has ended.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // the only error is that the process has ended already
	<-p.exited
}

// Exited is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// CPU returns the CPU time that the process has used, of all its threads.
func (p *Process) CPU() (time.Duration, error) {
	var t unix.Timespec
	// Linux makes the id of another process's CPU clock of its pid (clock_getcpuclockid(3)). The times in /proc have steps of 10 ms.
	const scheduled = 2
	if err := unix.ClockGettime(int32(^p.cmd.Process.Pid<<3|scheduled), &t); err != nil {
		return 0, fmt.Errorf("reading the CPU time of %s: %w", p.cmd.Path, err)
	}
	return time.Duration(t.Nano()), nil
}

// Memory is the memory of a process, in bytes.
type Memory struct {
	Resident int64 // now
	Peak     int64 // the most that it ever was
}

// Memory returns the memory that the process has.
func (p *Process) Memory() (Memory, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return Memory{}, err
	}
	return parseMemory(string(status))
}

// parseMemory reads VmRSS and VmHWM (proc_pid_status(5)).
func parseMemory(status string) (m Memory, err error) {
	for name, to := range map[string]*int64{"VmRSS:": &m.Resident, "VmHWM:": &m.Peak} {
		_, rest, found := strings.Cut(status, "\n"+name)
		text, _, ends := strings.Cut(rest, "kB")
		kib, problem := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		if !found || !ends || problem != nil {
			return m, fmt.Errorf("the status of a process has no %s it has %q", name, status)
		}
		*to = kib << 10
	}
	return m, nil
}
