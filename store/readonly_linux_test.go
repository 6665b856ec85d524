package store

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// TestReadOnlyDirectory is an error at the start; one that becomes so later is an
// error of Save, and what was kept can still be read.
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
	asNobody(func() {
		_, saveErr = f.Save(nil)
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		_, _, openErr = Open(dir, standing(date), slog.New(slog.DiscardHandler))
		_, _, makeErr = Open(filepath.Join(root, "other"), standing(date), slog.New(slog.DiscardHandler))
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

// asNobody runs f with the file rights of an ordinary user: modes mean nothing to
// root. Only the thread of f has them, and it ends with f.
func asNobody(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked, so that nobody else gets it
		const nobody = 65534
		_, _, _ = syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0) // without effect for who is not root
		f()
	}()
	<-done
}
