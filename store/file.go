package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"breakwater.dev/breaker"
)

// Names in the state directory.
const (
	fileName  = "breakers.json"
	lockName  = "breakers.lock"
	tempStart = fileName + ".tmp-" // what a process that died in a write leaves behind
)

// maxDrift is how far the clocks may move against each other before the file has
// to be written again. It is above what adjusting a clock brings in a few minutes,
// and far below what matters to a wait.
const maxDrift = 100 * time.Millisecond

// ErrInUse is the error of [Open] when another process keeps its state in the directory.
var ErrInUse = errors.New("in use by another process")

// File keeps breakers in a file, for one process at a time.
type File struct {
	dir   string
	clock Clock

	mu     sync.Mutex
	lock   *os.File // nil: closed
	anchor anchor   // of the last write; kept as long as it is right, so that equal breakers are equal bytes
	// kept is the checksum of the list in the file; 0: not known.
	kept [sha256.Size]byte
}

// Open begins to keep breakers in the directory dir, which it makes where there
// is none, and returns those that were kept there, in the instants of clock, for
// [breaker.Engine.Restore]. Give them to the engine before the first Save, which
// replaces them.
//
// Times are bounded, so that a wall clock that was set in between keeps no breaker
// open longer than it was to be.
//
// A file that is damaged, or of a newer version of this program, is moved aside,
// with one warning in log that says why and where to; then nothing was kept. It is
// an error when dir cannot be made, written or locked; one that another process
// uses gives [ErrInUse].
func Open(dir string, clock Clock, log *slog.Logger) (*File, []breaker.Saved, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("the state directory %s cannot be made: %w", dir, err)
	}
	lock, err := lockDirectory(dir)
	if err != nil {
		return nil, nil, err
	}
	f := &File{dir: dir, clock: clock, lock: lock}
	if err := f.prepare(); err != nil {
		err = fmt.Errorf("the state directory %s cannot be written: %w", dir, err)
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, f.load(log), nil
}

// Save makes saved what is kept, all or nothing, also when the process or the
// machine dies meanwhile. It returns how many bytes it wrote; 0 when saved was
// kept already.
func (f *File) Save(saved []breaker.Saved) (written int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	written, err = f.saveLocked(saved)
	if err != nil {
		return 0, fmt.Errorf("keeping breakers in %s: %w", f.path(), err)
	}
	return written, nil
}

func (f *File) saveLocked(saved []breaker.Saved) (int, error) {
	if f.lock == nil {
		return 0, fs.ErrClosed
	}
	now := f.clock.anchor()
	if now.drift(f.anchor) > maxDrift {
		f.anchor = now
	}
	breakers, err := encode(saved, f.anchor)
	if err != nil {
		return 0, err
	}
	sum := sha256.Sum256(breakers)
	if sum == f.kept {
		return 0, nil
	}
	data, err := seal(breakers, now.wall)
	if err != nil {
		return 0, err
	}
	f.kept = [sha256.Size]byte{} // a write that fails may have come as far as the rename
	if err := replace(f.path(), data); err != nil {
		return 0, err
	}
	f.kept = sum
	return len(data), nil
}

// Close lets another process have the directory. What is kept stays.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lock == nil {
		return nil
	}
	lock := f.lock
	f.lock = nil
	if err := errors.Join(lock.Truncate(0), lock.Close()); err != nil {
		return fmt.Errorf("unlocking the state directory %s: %w", f.dir, err)
	}
	return nil
}

func (f *File) path() string { return filepath.Join(f.dir, fileName) }

// lockDirectory takes the lock of dir, and says in it who has it. The file stays
// when the lock is given back: removing it would let two processes lock two files.
func lockDirectory(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	lock, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the state directory %s cannot be written: %w", dir, err)
	}
	held, err := flock(lock)
	if err == nil && held {
		pid := []byte(strconv.Itoa(os.Getpid()) + "\n")
		if err = lock.Truncate(0); err == nil {
			_, err = lock.WriteAt(pid, 0)
		}
	}
	switch {
	case err != nil:
		err = fmt.Errorf("the state directory %s cannot be locked: %w", dir, err)
	case !held:
		err = fmt.Errorf("the state directory %s is %w%s", dir, ErrInUse, holder(path))
	default:
		return lock, nil
	}
	return nil, errors.Join(err, lock.Close())
}

// holder says which process has the lock, as far as it is known.
func holder(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return "" // it is about to write it
	}
	return fmt.Sprintf(" (pid %d)", pid)
}

// prepare removes what a dead process left behind, and finds out whether the
// directory can be written.
func (f *File) prepare() error {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempStart) {
			if err := os.Remove(filepath.Join(f.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	probe, err := os.CreateTemp(f.dir, tempStart)
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}
