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
	"breakwater.dev/store/internal/record"
)

// Names in the state directory.
const (
	fileName   = "breakers.json"
	lockName   = "breakers.lock"
	tempPrefix = fileName + ".tmp-" // a process that dies in a write leaves such a file behind
)

// maxDrift is how far the engine's clock and the wall clock may move apart before the file must be written again. It is
// more than the adjustment of a clock within a few minutes, and far less than a wait.
const maxDrift = 100 * time.Millisecond

// Clock reads the engine's clock, which begins with the process, and the wall clock, which outlives it, at the same moment.
type Clock = record.Clock

// ErrInUse is the error of [Open] when another process uses the directory.
var ErrInUse = errors.New("in use by another process")

// File saves the states of breakers in a file, for one process at a time. It is safe for concurrent use.
type File struct {
	dir   string
	clock Clock

	mu   sync.Mutex // guards the fields below
	lock *os.File   // nil: closed
	// anchor converts instants into times of the wall clock. It stays the same while the clocks do not drift, so that
	// equal states are equal bytes.
	anchor record.Anchor
	// sum is the checksum of the list in the file; 0: not known.
	sum [sha256.Size]byte
}

// Open opens the directory dir, and makes it if it does not exist. It returns the states that an earlier process saved
// there, in the instants of clock, for [breaker.Engine.Restore]. Give them to the engine before the first Save, which
// replaces them.
//
// No breaker stays open longer than planned because the wall clock was set between the two processes: times are bounded.
//
// A file that is damaged, or that a newer version of this program wrote, is moved aside with one warning in log, which has
// the reason and the new name. Open then returns no states. It returns an error if dir cannot be made, written or locked;
// the error is [ErrInUse] if another process uses dir.
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

// Save replaces the saved states, all or none of them, even if the process or the machine dies meanwhile. It returns the
// number of bytes that it wrote; 0 if the file had these states already.
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
	now := f.clock.Anchor()
	if now.Drift(f.anchor) > maxDrift {
		f.anchor = now
	}
	breakers, err := encode(saved, f.anchor)
	if err != nil {
		return 0, err
	}
	sum := sha256.Sum256(breakers)
	if sum == f.sum {
		return 0, nil
	}
	data, err := seal(breakers, now.Wall)
	if err != nil {
		return 0, err
	}
	f.sum = [sha256.Size]byte{} // a write that fails may have renamed the file already
	if err := replace(f.path(), data); err != nil {
		return 0, err
	}
	f.sum = sum
	return len(data), nil
}

// Close unlocks the directory for another process. The saved states stay in it.
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

// lockDirectory takes the lock of dir, and writes the process id into the lock file. The lock file is never removed:
// otherwise two processes could lock two different files.
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

// holder returns the process that has the lock, in words for an error; "" if it is not known.
func holder(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return "" // the process has not written its id yet
	}
	return fmt.Sprintf(" (pid %d)", pid)
}

// prepare removes the temporary files of dead processes, and checks that the directory can be written.
func (f *File) prepare() error {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) {
			if err := os.Remove(filepath.Join(f.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	probe, err := os.CreateTemp(f.dir, tempPrefix)
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}
