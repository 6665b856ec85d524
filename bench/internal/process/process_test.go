package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func TestParseCPU(t *testing.T) {
	const stat = "26143 (a b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 8 0 100 1 2"
	if got, err := parseCPU([]byte(stat)); err != nil || got != 3*time.Second {
		t.Errorf("got %s and error %v, want 3s", got, err)
	}
	if _, err := parseCPU([]byte("1 (x) S 1")); err == nil {
		t.Error("an incomplete line gave no error")
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
