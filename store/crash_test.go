package store

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// victimVariable is the environment variable that makes the test binary a process that saves until it is killed.
const victimVariable = "BREAKWATER_TEST_STORE_VICTIM"

// victim saves states with rising numbers, and prints the number of each one after it is saved.
func victim(dir string) {
	f, saved, err := Open(dir, stopped(date), slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var n uint64
	if len(saved) > 0 {
		n = saved[0].Sequence
	}
	for {
		n++
		if _, err := f.Save(numbered(n)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(n)
	}
}

// TestKilledWhileSaving kills a process while it saves, again and again. The file always has one complete state, and never
// an older one than the last state that the process has printed. The lock ends with the process.
func TestKilledWhileSaving(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var last uint64
	for round := range 30 {
		acknowledged := runVictim(t, exe, dir, 1+round%7)
		f, saved, log := open(t, dir, date)
		if len(saved) == 0 || log != "" {
			t.Fatalf("round %d: restored %+v, log %q", round, saved, log)
		}
		n := saved[0].Sequence
		same(t, saved, numbered(n))
		if n < acknowledged || n > acknowledged+1 || acknowledged <= last {
			t.Errorf("round %d: the file has state %d; the process has printed %d, and the file had %d before", round, n, acknowledged, last)
		}
		last = n
		if got, want := names(t, dir), []string{fileName, lockName}; !slices.Equal(got, want) {
			t.Errorf("round %d: the directory has %q, want %q", round, got, want)
		}
		closeFile(t, f)
	}
}

// runVictim starts a process that saves in dir, kills it after it has printed a number of states, and returns the last one
// that it printed.
func runVictim(t *testing.T, exe, dir string, states int) uint64 {
	t.Helper()
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), victimVariable+"="+dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var acknowledged string
	for range states {
		if !lines.Scan() {
			t.Errorf("the process ended by itself: %v: %s", cmd.Wait(), &stderr)
			t.FailNow()
		}
		acknowledged = lines.Text()
	}
	wantInUse(t, dir, cmd.Process.Pid)
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	for lines.Scan() { // the process may have printed more before the signal arrived
		acknowledged = lines.Text()
	}
	var killed *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &killed) || killed.ExitCode() != -1 {
		t.Errorf("the process ended with %v, want that it was killed: %s", err, &stderr)
	}
	n, err := strconv.ParseUint(acknowledged, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// wantInUse checks that a directory cannot be opened while the process pid uses it.
func wantInUse(t *testing.T, dir string, pid int) {
	t.Helper()
	before := read(t, dir, fileName)
	_, _, err := Open(dir, stopped(date), slog.New(slog.DiscardHandler))
	if !errors.Is(err, ErrInUse) {
		t.Fatalf("error %v, want %v", err, ErrInUse)
	}
	wantText(t, err.Error(), fmt.Sprintf("(pid %d)", pid))
	if len(before) == 0 {
		t.Errorf("%s is empty while the process writes it", filepath.Join(dir, fileName))
	}
}
