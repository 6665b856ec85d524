package store

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"breakwater.dev/breaker"
	"breakwater.dev/store/internal/record"
)

// maxAside is how many unusable files stay in the directory, for operators to look at.
const maxAside = 5

// asideMarks are the strings between the old name of an unusable file and the time in its new name.
var asideMarks = []string{".damaged-", ".newer-"}

// load returns the saved states, or moves their file aside if it cannot be read.
func (f *File) load(log *slog.Logger) []breaker.Saved {
	data, err := readRegular(f.path())
	if errors.Is(err, fs.ErrNotExist) {
		f.sum = emptySum()
		return nil
	}
	var saved []breaker.Saved
	if err == nil {
		saved, err = decode(data, f.clock.Anchor())
	}
	if err == nil {
		return saved
	}
	why := slog.String("why", err.Error())
	aside, err := f.moveAside(err)
	if err != nil {
		log.Warn("breakers were not restored, and their file will be overwritten", "file", f.path(), why, "not_moved", err.Error())
		return nil
	}
	log.Warn("breakers were not restored", "file", f.path(), why, "moved_to", aside)
	f.sum = emptySum()
	return nil
}

// emptySum returns the checksum of an empty list, which needs no file.
func emptySum() [sha256.Size]byte { return sha256.Sum256([]byte("[]")) }

// readRegular reads a file. It returns an error if the path is not a regular file, or if the file is too large.
func readRegular(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular(): // opening a pipe would block until a process writes to it
		return nil, errors.New("it is not a regular file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err == nil && len(data) > maxFileBytes {
		err = fmt.Errorf("it is larger than %d MiB", maxFileBytes>>20)
	}
	return data, errors.Join(err, file.Close())
}

// moveAside renames the file. The new name has the kind of fault and the time. It first removes the oldest files that were
// moved aside before, so that repeated failures do not fill the disk.
func (f *File) moveAside(why error) (path string, err error) {
	mark := asideMarks[0]
	if newer := record.NewerError(0); errors.As(why, &newer) {
		mark = asideMarks[1]
	}
	if err := f.removeAside(maxAside - 1); err != nil {
		return "", err
	}
	path = f.path() + mark + f.clock.Anchor().Wall.Format("20060102T150405.000000000Z")
	if err := os.Rename(f.path(), path); err != nil {
		return "", err
	}
	return path, nil
}

// removeAside removes the oldest files that were moved aside, until at most keep of them are left.
func (f *File) removeAside(keep int) error {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return err
	}
	type aside struct{ name, stamp string }
	var found []aside
	for _, e := range entries {
		for _, mark := range asideMarks {
			if stamp, ok := strings.CutPrefix(e.Name(), fileName+mark); ok {
				found = append(found, aside{e.Name(), stamp})
			}
		}
	}
	slices.SortFunc(found, func(a, b aside) int { return cmp.Compare(a.stamp, b.stamp) })
	for len(found) > keep {
		if err := os.RemoveAll(filepath.Join(f.dir, found[0].name)); err != nil {
			return err
		}
		found = found[1:]
	}
	return nil
}
