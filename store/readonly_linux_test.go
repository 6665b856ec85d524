package store

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// TestReadOnlyDirectory shows that a read-only directory is an error at the start. If a directory becomes read-only later,
// Save returns an error, and the saved states can still be read.
func TestReadOnlyDirectory(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "state")
	f, _, _ := open(t, dir, date)
	save(t, f, examples())
	for path, mode := range map[string]os.FileMode{filepath.Dir(root): 0o755, root: 0o555, dir: 0o555} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.Chmod(path, 0o700); err != nil {
				t.Error(err)
			}
		})
	}
	var saveErr, openErr, makeErr error
	unprivileged(func() {
		_, saveErr = f.Save(nil)
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		_, _, openErr = Open(dir, stopped(date), slog.New(slog.DiscardHandler))
		_, _, makeErr = Open(filepath.Join(root, "other"), stopped(date), slog.New(slog.DiscardHandler))
	})
	for want, err := range map[string]error{
		"keeping breakers in " + filepath.Join(dir, fileName) + ": ": saveErr,
		"the state directory " + dir + " cannot be written: ":        openErr,
		"the state directory " + root + "/other cannot be made: ":    makeErr,
	} {
		if err == nil {
			t.Errorf("no error; want %q", want)
			continue
		}
		wantText(t, err.Error(), want, "permission denied")
	}
	same(t, mustDecode(t, read(t, dir, fileName)), examples())
}

// unprivileged runs f with the file rights of an ordinary user, because file modes do not bind root. Only the thread of f has
// these rights, and it ends with f.
func unprivileged(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked, so that no other goroutine gets the thread
		const ordinary = 65534
		_, _, _ = syscall.RawSyscall(syscall.SYS_SETFSUID, ordinary, 0, 0) // has an effect only for root
		f()
	}()
	<-done
}
