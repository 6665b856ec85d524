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
)

// maxAside is how many files that could not be used are kept for people to look at.
const maxAside = 5

// asideMarks are what such a file is called after the name it had.
var asideMarks = []string{".damaged-", ".newer-"}

// load reads what is kept, or moves it out of the way.
func (f *File) load(log *slog.Logger) []breaker.Saved {
	data, err := readRegular(f.path())
	if errors.Is(err, fs.ErrNotExist) {
		f.kept = nothing()
		return nil
	}
	var saved []breaker.Saved
	if err == nil {
		saved, err = decode(data, f.clock.anchor())
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
	f.kept = nothing()
	return nil
}

// nothing is the checksum of the list of no breakers, for which no file need be.
func nothing() [sha256.Size]byte { return sha256.Sum256([]byte("[]")) }

// readRegular reads a file that has to be one, of a size that can be ours.
func readRegular(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular(): // opening a pipe would wait for its writer
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

// moveAside renames the file by what is wrong with it and the time, and forgets
// the oldest ones before it, so that a start that fails again and again does not
// fill the disk.
func (f *File) moveAside(why error) (path string, err error) {
	mark := asideMarks[0]
	if newer := newerError(0); errors.As(why, &newer) {
		mark = asideMarks[1]
	}
	if err := f.removeAside(maxAside - 1); err != nil {
		return "", err
	}
	path = f.path() + mark + f.clock.anchor().wall.Format("20060102T150405.000000000Z")
	if err := os.Rename(f.path(), path); err != nil {
		return "", err
	}
	return path, nil
}

// removeAside removes the oldest files that were moved aside, down to so many.
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
