// Package process runs the programs that a benchmark measures, and reads what they use from /proc.
//
// In: the path of a program, its arguments, and a file for its output.
// Out: its CPU time and its memory.
// Called by: the benchmarks that start a control plane.
// Never: ends a process that it has not started.
// Concurrency: a Process is safe for concurrent use.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
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

// ticks is how many units of the times in /proc a second has (USER_HZ, which Linux fixes).
const ticks = 100

// CPU returns the CPU time that the process has used, in steps of 10 ms.
func (p *Process) CPU() (time.Duration, error) {
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
