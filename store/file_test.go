package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/store/internal/record"
)

// TestFileKeepsBreakers shows that the next process gets the saved states, and that other users may read neither the
// directory nor the file.
func TestFileKeepsBreakers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "var", "state")
	f, saved, log := open(t, dir, date)
	if saved != nil || log != "" {
		t.Errorf("a new directory has the states %+v, and the log has %q; want neither", saved, log)
	}
	n := save(t, f, examples())
	if data := read(t, dir, fileName); len(data) != n {
		t.Errorf("Save returned %d bytes, the file has %d", n, len(data))
	}
	closeFile(t, f)
	for path, want := range map[string]fs.FileMode{dir: fs.ModeDir | 0o700, filepath.Join(dir, fileName): 0o600, filepath.Join(dir, lockName): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, error %v; want mode %v", path, info.Mode(), err, want)
		}
	}
	_, saved, log = open(t, dir, date)
	same(t, saved, examples())
	if log != "" {
		t.Errorf("the log has %q about a good file", log)
	}
	if got, want := names(t, dir), []string{fileName, lockName}; !slices.Equal(got, want) {
		t.Errorf("the directory has %q, want %q", got, want)
	}
}

// TestFileWritesOnlyWhatChanged shows that a save writes only states that have changed, and times that became wrong because a
// clock was set.
func TestFileWritesOnlyWhatChanged(t *testing.T) {
	now := date
	f, _, err := Open(t.TempDir(), func() (breaker.Instant, time.Time) { return now.Instant, now.Wall }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer closeFile(t, f)
	pass := func(d, wall time.Duration) {
		now = record.Anchor{Instant: now.Instant.Add(d), Wall: now.Wall.Add(wall)}
	}
	more := append(examples(), breaker.Saved{Key: breaker.Key{Upstream: "users"}, Since: at(0)})
	for _, step := range []struct {
		name  string
		pass  func()
		saved []breaker.Saved
		write bool
	}{
		{"nothing, into a new directory", func() {}, nil, false},
		{"some", func() {}, examples(), true},
		{"the same", func() {}, examples(), false},
		{"the same, later", func() { pass(time.Hour, time.Hour) }, examples(), false},
		{"the same, on clocks that drift", func() { pass(time.Hour, time.Hour+maxDrift) }, examples(), false},
		{"the same, on clocks that drift further", func() { pass(time.Hour, time.Hour+1) }, examples(), true},
		{"the same, on a wall clock that was set back", func() { pass(0, -time.Hour) }, examples(), true},
		{"more", func() {}, more, true},
		{"nothing", func() {}, nil, true},
		{"nothing, on a wall clock that was set", func() { pass(0, time.Hour) }, []breaker.Saved{}, false},
	} {
		step.pass()
		if n := save(t, f, step.saved); n > 0 != step.write {
			t.Errorf("%s: wrote %d bytes, want a write: %t", step.name, n, step.write)
		}
	}
}

// TestFirstSaveReplacesTheFile shows that the first save of a process replaces the states of the earlier process, even with
// no states.
func TestFirstSaveReplacesTheFile(t *testing.T) {
	dir := t.TempDir()
	f, _, _ := open(t, dir, date)
	save(t, f, examples())
	closeFile(t, f)
	f, _, _ = open(t, dir, date)
	if save(t, f, nil) == 0 {
		t.Error("the old states were not replaced")
	}
	closeFile(t, f)
	if _, saved, log := open(t, dir, date); saved != nil || log != "" {
		t.Errorf("restored %+v, log %q; want nothing", saved, log)
	}
}

// TestUnusableFilesAreMovedAside shows that a file that cannot be read is moved aside with one warning, and that the process
// then starts without states.
func TestUnusableFilesAreMovedAside(t *testing.T) {
	good := encoded(t, examples()...)
	content := func(data []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) { write(t, data, path) }
	}
	for _, tt := range []struct {
		name string
		make func(t *testing.T, path string)
		mark string
		why  string
	}{
		{"empty", content(nil), "damaged", "unexpected end of JSON input"},
		{"cut off", content(good[:len(good)/2]), "damaged", "unexpected end of JSON input"},
		{"changed", content(bytes.Replace(good, []byte("payments"), []byte("pavments"), 1)), "damaged", "its checksum is not that of what it says"},
		{"newer", content(fmt.Appendf(nil, `{"format":%d,"x":1}`, record.Format+1)), "newer",
			fmt.Sprintf("a newer version of this program wrote it, in format %d; this one knows %d", record.Format+1, record.Format)},
		{"too large", func(t *testing.T, path string) {
			write(t, good, path)
			if err := os.Truncate(path, maxFileBytes+1); err != nil {
				t.Fatal(err)
			}
		}, "damaged", "it is larger than 64 MiB"},
		{"a directory", func(t *testing.T, path string) {
			if err := os.MkdirAll(filepath.Join(path, "full"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, "damaged", "it is not a regular file"},
		{"a pipe", func(t *testing.T, path string) {
			if err := syscall.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "damaged", "it is not a regular file"},
		{"a link to nowhere", func(t *testing.T, path string) {
			if err := os.Symlink("nowhere", path); err != nil {
				t.Fatal(err)
			}
		}, "damaged", "it is not a regular file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, fileName)
			tt.make(t, path)
			f, saved, log := open(t, dir, date)
			if saved != nil {
				t.Errorf("restored %+v", saved)
			}
			aside := path + "." + tt.mark + "-20261123T120000.000000000Z"
			if _, err := os.Lstat(aside); err != nil {
				t.Error(err)
			}
			wantText(t, log, "level=WARN", "file="+path, "why=", tt.why, "moved_to="+aside)
			if n := strings.Count(log, "\n"); n != 1 {
				t.Errorf("the log has %d lines, want 1:\n%s", n, log)
			}
			if n := save(t, f, nil); n != 0 {
				t.Errorf("a save of no states wrote %d bytes", n)
			}
			save(t, f, examples())
			closeFile(t, f)
			_, saved, log = open(t, dir, date)
			same(t, saved, examples())
			if log != "" {
				t.Errorf("the next process logged %q", log)
			}
		})
	}
}

// TestUnusableFileThatStays shows that a file that can neither be read nor moved is overwritten, and that the warning says so.
func TestUnusableFileThatStays(t *testing.T) {
	dir := t.TempDir()
	write(t, []byte("{"), dir, fileName)
	aside := filepath.Join(dir, fileName+".damaged-20261123T120000.000000000Z")
	if err := os.MkdirAll(filepath.Join(aside, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	f, saved, log := open(t, dir, date)
	if saved != nil || strings.Count(log, "\n") != 1 {
		t.Errorf("restored %+v, and logged %q; want nothing and one line", saved, log)
	}
	wantText(t, log, "level=WARN", "will be overwritten", "why=", "not_moved=")
	if save(t, f, nil) == 0 {
		t.Error("the file was not overwritten")
	}
	closeFile(t, f)
	if _, saved, log := open(t, dir, date); saved != nil || log != "" {
		t.Errorf("the next process restored %+v, and logged %q; want neither", saved, log)
	}
}

// TestFewUnusableFilesAreKept shows that only the newest unusable files stay, so that repeated failures do not fill the disk.
func TestFewUnusableFilesAreKept(t *testing.T) {
	dir := t.TempDir()
	var want []string
	for i := range 8 {
		content, mark := "{", ".damaged-"
		if i%2 == 1 {
			content, mark = fmt.Sprintf(`{"format":%d}`, record.Format+1), ".newer-"
		}
		write(t, []byte(content), dir, fileName)
		now := later(time.Duration(i) * time.Second)
		f, _, _ := open(t, dir, now)
		closeFile(t, f)
		want = append(want, fileName+mark+now.Wall.Format("20060102T150405.000000000Z"))
	}
	want = append(want[8-maxAside:], lockName)
	slices.Sort(want)
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("the directory has %q, want %q", got, want)
	}
}

// TestLeftoversAreRemoved shows that the temporary files of a process that died in a write are removed.
func TestLeftoversAreRemoved(t *testing.T) {
	dir := t.TempDir()
	write(t, []byte("{"), dir, tempPrefix+"1")
	write(t, []byte(""), dir, tempPrefix+"2")
	write(t, []byte("mine"), dir, "notes.txt")
	open(t, dir, date)
	if got, want := names(t, dir), []string{lockName, "notes.txt"}; !slices.Equal(got, want) {
		t.Errorf("the directory has %q, want %q", got, want)
	}
}

// TestOneProcessAtATime shows that a second process cannot open a directory, and that its error names the first process.
func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	f, _, _ := open(t, dir, date)
	_, _, err := Open(dir, stopped(date), slog.New(slog.DiscardHandler))
	if !errors.Is(err, ErrInUse) {
		t.Fatalf("error %v, want %v", err, ErrInUse)
	}
	want := fmt.Sprintf("the state directory %s is in use by another process (pid %d)", dir, os.Getpid())
	if err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	save(t, f, examples()) // the first process is not disturbed
	closeFile(t, f)
	open(t, dir, date)
}

// TestHolder shows that the process that has the lock is found if its id is in the lock file.
func TestHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), lockName)
	if got := holder(path); got != "" {
		t.Errorf("without a file: %q, want nothing", got)
	}
	for content, want := range map[string]string{"": "", "x": "", "12\n": " (pid 12)"} {
		write(t, []byte(content), path)
		if got := holder(path); got != want {
			t.Errorf("file with %q: %q, want %q", content, got, want)
		}
	}
}

// TestImpossibleDirectories shows the errors for directories that cannot be made or written.
func TestImpossibleDirectories(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	write(t, nil, file)
	locked := filepath.Join(dir, "locked")
	if err := os.MkdirAll(filepath.Join(locked, lockName), 0o700); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		file:                      "cannot be made: ",
		filepath.Join(file, "in"): "cannot be made: ",
		locked:                    "cannot be written: ",
	} {
		f, saved, err := Open(path, stopped(date), slog.New(slog.DiscardHandler))
		if err == nil || f != nil || saved != nil {
			t.Fatalf("%s was opened", path)
		}
		wantText(t, err.Error(), "the state directory "+path+" "+want)
	}
}

// TestFailedSaves shows that a failed save returns an error, leaves no temporary file, and does not prevent later saves.
func TestFailedSaves(t *testing.T) {
	for _, tt := range []struct {
		name       string
		spoil      func(dir string) error
		repair     func(dir string) error
		leftBehind []string
	}{
		{
			"the directory is missing",
			func(dir string) error { return os.Rename(dir, dir+".away") },
			func(dir string) error { return os.Rename(dir+".away", dir) },
			[]string{fileName, lockName},
		},
		{
			"the file's name belongs to a directory",
			func(dir string) error {
				return errors.Join(os.Remove(filepath.Join(dir, fileName)), os.MkdirAll(filepath.Join(dir, fileName, "full"), 0o700))
			},
			func(dir string) error { return os.RemoveAll(filepath.Join(dir, fileName)) },
			[]string{lockName},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			f, _, _ := open(t, dir, date)
			save(t, f, examples()[:1])
			if err := tt.spoil(dir); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				n, err := f.Save(examples())
				if err == nil || n != 0 {
					t.Fatalf("wrote %d bytes, error %v; want an error", n, err)
				}
				wantText(t, err.Error(), "keeping breakers in "+filepath.Join(dir, fileName))
			}
			if err := tt.repair(dir); err != nil {
				t.Fatal(err)
			}
			if got := names(t, dir); !slices.Equal(got, tt.leftBehind) {
				t.Errorf("the directory has %q, want %q", got, tt.leftBehind)
			}
			// A failed save may have changed the file, so the old states are written again.
			if save(t, f, examples()[:1]) == 0 {
				t.Error("nothing was written after a failure")
			}
			save(t, f, examples())
			closeFile(t, f)
			_, saved, _ := open(t, dir, date)
			same(t, saved, examples())
		})
	}
}

// TestTooLargeToRead shows that states that would make the file too large to read are not written, and that the file stays
// as it was.
func TestTooLargeToRead(t *testing.T) {
	dir := t.TempDir()
	f, _, _ := open(t, dir, date)
	save(t, f, examples())
	large := breaker.Saved{Override: &breaker.Override{Note: strings.Repeat("x", maxFileBytes)}}
	_, err := f.Save([]breaker.Saved{large})
	if err == nil {
		t.Fatal("the states were written")
	}
	wantText(t, err.Error(), "they take 64 MiB, and at most 64 MiB are read")
	closeFile(t, f)
	_, saved, _ := open(t, dir, date)
	same(t, saved, examples())
}

// TestClosedFile shows that a closed file saves nothing, since another process may use the directory, and that a second Close
// has no effect.
func TestClosedFile(t *testing.T) {
	f, _, _ := open(t, t.TempDir(), date)
	closeFile(t, f)
	closeFile(t, f)
	if _, err := f.Save(examples()); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("error %v, want %v", err, fs.ErrClosed)
	}
}

// TestConcurrentSaves shows that the file has exactly one of the states after concurrent saves.
func TestConcurrentSaves(t *testing.T) {
	dir := t.TempDir()
	f, _, _ := open(t, dir, date)
	var saving sync.WaitGroup
	for i := range 8 {
		saving.Go(func() {
			for range 5 {
				if _, err := f.Save(numbered(uint64(i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	saving.Wait()
	closeFile(t, f)
	_, saved, log := open(t, dir, date)
	if len(saved) == 0 || log != "" {
		t.Fatalf("restored %+v, log %q", saved, log)
	}
	same(t, saved, numbered(saved[0].Sequence))
}

// numbered returns the states of 100 breakers that all have the sequence n.
func numbered(n uint64) []breaker.Saved {
	saved := make([]breaker.Saved, 100)
	for i := range saved {
		saved[i] = breaker.Saved{
			Key: breaker.Key{Upstream: "u" + strconv.Itoa(1000+i)}, Config: breaker.DefaultConfig(),
			State: breaker.Open, Since: at(0), Until: at(time.Minute), Sequence: n, Generation: n + 1,
		}
	}
	return saved
}
