package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestCPU: a program that works has CPU time, and one that has ended has none to read.
func TestCPU(t *testing.T) {
	p, err := StartCommand(filepath.Join(t.TempDir(), "log"), exec.Command("sh", "-c", "while :; do :; done"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	for deadline := time.Now().Add(10 * time.Second); ; {
		cpu, err := p.CPU()
		if err != nil {
			t.Fatal(err)
		}
		if cpu > 10*time.Millisecond {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a busy program has used %s within 10 s", cpu)
		}
	}
	p.Kill()
	if _, err := p.CPU(); err == nil {
		t.Error("a program that has ended gave no error")
	}
}

func TestParseMemory(t *testing.T) {
	const status = "Name:\tx\nVmPeak:\t  900 kB\nVmHWM:\t     300 kB\nVmRSS:\t     200 kB\nThreads:\t1\n"
	if got, err := parseMemory(status); err != nil || got != (Memory{Resident: 200 << 10, Peak: 300 << 10}) {
		t.Errorf("got %+v and error %v, want 200 KiB of at most 300 KiB", got, err)
	}
	if _, err := parseMemory("Name:\tx\nVmHWM:\t     300 kB\n"); err == nil {
		t.Error("a status without VmRSS gave no error")
	}
}

// TestProcess: a program writes to its log, has memory and CPU time, and ends when it is killed.
func TestProcess(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	p, err := StartCommand(log, exec.Command("sh", "-c", "echo hello; exec sleep 600"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	for deadline := time.Now().Add(10 * time.Second); ; {
		if text, err := os.ReadFile(log); err == nil && string(text) == "hello\n" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the program has written nothing within 10 s")
		}
	}
	if m, err := p.Memory(); err != nil || m.Resident <= 0 || m.Peak < m.Resident {
		t.Errorf("memory %+v and error %v", m, err)
	}
	if cpu, err := p.CPU(); err != nil || cpu < 0 {
		t.Errorf("CPU time %s and error %v", cpu, err)
	}
	p.Kill()
	select {
	case <-p.Exited():
	default:
		t.Error("the program has not ended")
	}
}

func TestStartOfNothing(t *testing.T) {
	if _, err := Start(filepath.Join(t.TempDir(), "log"), filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a program that does not exist was started")
	}
}
