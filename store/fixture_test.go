package store

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"breakwater.dev/breaker"
	"breakwater.dev/store/internal/record"
	"breakwater.dev/store/internal/recordtest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimVariable); dir != "" {
		victim(dir)
	}
	goleak.VerifyTestMain(m)
}

// century is the largest distance of a time from now that is read from a file.
const century = 100 * 365 * 24 * time.Hour

// All tests of stores share these states and their time.
var (
	date     = recordtest.Date
	at       = recordtest.At
	examples = recordtest.Examples
	anySaved = recordtest.Any
)

// later returns the clocks of the next process, d after date. The process began a minute before.
func later(d time.Duration) record.Anchor {
	return record.Anchor{Instant: breaker.Instant(time.Minute), Wall: date.Wall.Add(d)}
}

// stopped returns a clock that stands still.
func stopped(a record.Anchor) Clock {
	return func() (breaker.Instant, time.Time) { return a.Instant, a.Wall }
}

// open opens dir at a given time, until the test ends. It also returns the log.
func open(t *testing.T, dir string, a record.Anchor) (f *File, saved []breaker.Saved, log string) {
	t.Helper()
	var lines bytes.Buffer
	f, saved, err := Open(dir, stopped(a), slog.New(slog.NewTextHandler(&lines, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeFile(t, f) })
	return f, saved, lines.String()
}

func closeFile(t *testing.T, f *File) {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// save saves states, and returns the number of bytes that were written.
func save(t *testing.T, f *File, saved []breaker.Saved) int {
	t.Helper()
	n, err := f.Save(saved)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// names returns the names of the files in dir.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t *testing.T, data []byte, path ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path...), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// same compares restored states with saved ones, both in the instants of one process.
func same(t interface {
	Helper()
	Errorf(string, ...any)
}, got, want []breaker.Saved) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the restored states differ from the saved ones (-want +got):\n%s", diff)
	}
}

// wantText fails the test for each of the texts that is missing in got.
func wantText(t *testing.T, got string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(got, text) {
			t.Errorf("%q does not have %q", got, text)
		}
	}
}

func mustDecode(t *testing.T, data []byte) []breaker.Saved {
	t.Helper()
	saved, err := decode(data, date)
	if err != nil {
		t.Fatal(err)
	}
	return saved
}
