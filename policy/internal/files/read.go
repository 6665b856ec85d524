package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Limits on what is read.
const (
	MaxSize      = 1 << 20  // bytes of one file
	MaxTotalSize = 64 << 20 // bytes of all files
	MaxCount     = 10_000   // files
)

// File is a file that was read.
type File struct {
	Name string
	Data []byte
}

// Problem is a path that could not be read.
type Problem struct {
	Path, Got, Want, Rule string
}

// Read reads files, and of directories *.yaml and *.yml, subdirectories too. Hidden
// entries are left out, which includes the ..data directory of a mounted ConfigMap. Symbolic
// links are followed to files, and to directories below the one that was given, as those of a
// ConfigMap are; a link to a directory elsewhere is a problem: one to /proc would be walked. What
// is reached by two ways is read once. Where there are more files than the limits allow, none is
// returned.
//
// stdin is for a caller that reads only once: with it a path may also be that of a pipe, which is
// read to its end, or "-", which is stdin. A nil stdin takes neither.
func Read(paths []string, stdin io.Reader) ([]File, []Problem) {
	r := reader{seen: map[string]bool{}, stdin: stdin}
	for _, path := range paths {
		r.argument(path)
	}
	if r.full {
		return nil, r.problems
	}
	return r.files, r.problems
}

// reader collects files.
type reader struct {
	files    []File
	total    int
	full     bool
	root     string          // the directory that was given, as in seen
	seen     map[string]bool // by absolute path without symbolic links
	stdin    io.Reader       // nil: pipes are refused
	problems []Problem
}

func (r *reader) fail(path, got, want, rule string) {
	r.problems = append(r.problems, Problem{path, got, want, rule})
}

// unreadable reports the cause without the path that it repeats.
func (r *reader) unreadable(path string, err error) {
	var cause *fs.PathError
	if errors.As(err, &cause) {
		err = cause.Err
	}
	r.fail(path, err.Error(), "a readable file or directory", "unreadable-file")
}

var (
	errNotRegular = errors.New("not a regular file")
	errPipe       = errors.New("a pipe")
	errTooLarge   = errors.New("a larger file")
)

// argument reads a path that was asked for by name, whatever its name is.
func (r *reader) argument(path string) {
	if path == "-" || path == "/dev/stdin" {
		r.stream("stdin", r.stdin, nil)
		return
	}
	// The links of /dev/fd to pipes lead nowhere that has a name.
	if info, err := os.Stat(path); err == nil && info.Mode()&fs.ModeNamedPipe != 0 {
		if r.stdin == nil {
			r.stream(path, nil, nil)
			return
		}
		f, err := os.Open(path)
		r.stream(path, f, err)
		if err == nil {
			_ = f.Close() // it was read to its end, or is too large
		}
		return
	}
	root, err := realPath(path)
	if err != nil {
		r.unreadable(path, err)
		return
	}
	r.root = root
	if r.path(path) == 0 {
		r.fail(path, "a directory without policies", "a directory with *.yaml or *.yml files", "no-policies")
	}
}

// path reads a file, or all policy files of a directory, whatever links lead there. It returns how many there
// are, where one that was read before or cannot be read counts too.
func (r *reader) path(path string) (found int) {
	real, err := realPath(path)
	if err != nil {
		r.unreadable(path, err)
		return 1
	}
	if r.seen[real] {
		return 1
	}
	r.seen[real] = true
	info, err := os.Stat(real)
	if err != nil {
		r.unreadable(path, err)
		return 1
	}
	if !info.IsDir() {
		r.file(path)
		return 1
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		r.unreadable(path, err)
		return 1
	}
	for _, e := range entries {
		found += r.entry(filepath.Join(path, e.Name()), e)
	}
	return found
}

// realPath is absolute, so that it can be compared.
func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

// leaves tells whether a path leads out of the directory that was given.
func (r *reader) leaves(path string) bool {
	real, err := realPath(path)
	if err != nil {
		return true
	}
	below, err := filepath.Rel(r.root, real)
	return err != nil || !filepath.IsLocal(below)
}

// entry is path for an entry of a directory. No link to a directory leads out of the one that was given.
func (r *reader) entry(path string, e fs.DirEntry) (found int) {
	if strings.HasPrefix(e.Name(), ".") {
		return 0
	}
	if e.Type()&fs.ModeSymlink != 0 {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			if r.leaves(path) {
				r.fail(path, "a link to a directory elsewhere", "a file, or a directory below the one that was given; give what it leads to by itself", "linked-directory")
				return 1
			}
			return r.path(path)
		}
	}
	if e.IsDir() || slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(path)) {
		return r.path(path)
	}
	return 0
}

// stream reads what can be read only once; from is nil where that is refused.
func (r *reader) stream(name string, from io.Reader, err error) {
	switch {
	case err != nil:
		r.unreadable(name, err)
	case from == nil:
		r.fail(name, errPipe.Error(), "a file or directory: a pipe cannot be read again when the policy changes", "unreadable-file")
	default:
		data, err := readBounded(from)
		r.add(name, data, err)
	}
}

// file reads at most [MaxSize] bytes. Opening does not wait for the other end of
// a pipe, and what is not a regular file is refused.
func (r *reader) file(path string) {
	if r.full {
		return
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		r.unreadable(path, err)
		return
	}
	data, err := readFile(f)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	r.add(path, data, err)
}

// add takes on what was read under a name, or says why it could not be.
func (r *reader) add(path string, data []byte, err error) {
	switch {
	case errors.Is(err, errTooLarge):
		r.fail(path, err.Error(), fmt.Sprintf("at most %d MiB", MaxSize>>20), "file-too-large")
		return
	case err != nil:
		r.unreadable(path, err)
		return
	}
	if r.total += len(data); r.total > MaxTotalSize || len(r.files) == MaxCount {
		r.full = true
		r.fail(path, "one file too many", fmt.Sprintf("at most %d files and %d MiB in all", MaxCount, MaxTotalSize>>20), "too-many-files")
		return
	}
	r.files = append(r.files, File{Name: path, Data: data})
}

func readFile(f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	return readBounded(f)
}

func readBounded(from io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(from, MaxSize+1))
	if len(data) > MaxSize {
		return nil, errTooLarge
	}
	return data, err
}
