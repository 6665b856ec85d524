package files

import (
	"crypto/sha256"
	"io/fs"
	"maps"
	"time"
)

// memory has the content of files as they were last read. A nil memory knows nothing, and remembers nothing.
type memory struct {
	now   func() time.Time
	files map[string]*known // by name, as diagnostics have it
	load  uint64            // the number of the load
}

// known is a file that was read.
type known struct {
	file  *file
	sum   [sha256.Size]byte // the hash of its content
	stamp stamp
	seen  time.Time // when the stamp was first seen, or a little later
	read  time.Time // when the content was last read, or a little earlier
	load  uint64    // the last load that had the file
}

// tick is longer than the tick of any file system's clock. The longest is FAT's, of 2 s.
const tick = 3 * time.Second

// isCurrent reports whether the content that was read last is the content of a file with this stamp. Two writes within
// one tick of the file system's clock give a file the same stamp. So a stamp counts only if the file was read again a
// tick after the stamp was first seen: a write after that has another stamp. This compares no file's time with our
// clock, since the clock of a server may differ from ours.
func (k *known) isCurrent(s stamp) bool {
	return s == k.stamp && s != stamp{} && k.read.Sub(k.seen) >= tick
}

// begin begins a load.
func (m *memory) begin() { m.load++ }

// end forgets the files that the load did not have.
func (m *memory) end() {
	maps.DeleteFunc(m.files, func(_ string, k *known) bool { return k.load != m.load })
}

// unchanged returns a file as it was read before, or nil if it must be read.
func (m *memory) unchanged(name string, info fs.FileInfo) *file {
	if m == nil {
		return nil
	}
	k := m.files[name]
	if k == nil || !k.isCurrent(stampOf(info)) {
		return nil
	}
	k.load = m.load
	return k.file
}

// instant returns the time; zero if there is no memory.
func (m *memory) instant() time.Time {
	if m == nil {
		return time.Time{}
	}
	return m.now()
}

// remember remembers a file that was read. info was there before the time at, and at was before the content was read. A
// file whose content is the same as before has the same objects.
func (m *memory) remember(f *file, info fs.FileInfo, at time.Time) {
	if m == nil {
		return
	}
	next := &known{file: f, sum: sha256.Sum256(f.Data), stamp: stampOf(info), seen: at, read: at, load: m.load}
	if k := m.files[f.Name]; k != nil {
		if k.stamp == next.stamp {
			next.seen = k.seen
		}
		if k.sum == next.sum {
			f.objects, f.parsed, f.Data = k.file.objects, k.file.parsed, nil
		}
	}
	m.files[f.Name] = next
}
