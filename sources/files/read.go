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

	"breakwater.dev/policy"
)

// Limits on what is read, beside [policy.MaxFileSize] for one file.
const (
	MaxTotalSize = 64 << 20 // bytes of all files
	MaxFiles     = 10_000
)

// read reads files, and in directories *.yaml and *.yml, subdirectories too. Hidden entries are left
// out, which include the ..data directory of a mounted ConfigMap. Symbolic links to files are followed,
// and those to directories below the given one, as a ConfigMap has them. A link to a directory elsewhere
// is a problem: otherwise a link to /proc would be walked. A file that can be reached in two ways is read
// once. If the files exceed the limits, none is returned, only the problems.
//
// stdin is for a caller that reads only once: with it a path may also be a pipe, which is read to its end, or
// "-", which is stdin. A nil stdin refuses both. A file that m knows, and that is unchanged, is not read.
func read(paths []string, stdin io.Reader, m *memory) []*file {
	r := reader{seen: map[string]bool{}, stdin: stdin, memory: m}
	if len(paths) == 0 {
		r.fail("policies", "no path", "at least one file or directory", "no-policies")
	}
	for _, path := range paths {
		r.argument(path)
	}
	if r.full {
		return slices.DeleteFunc(r.files, func(f *file) bool { return f.Unreadable == nil })
	}
	return r.files
}

// file is a file that was read, or could not be read, and its objects.
type file struct {
	policy.File
	size    int
	objects []*policy.Object // in Data, once that is parsed
	parsed  bool
}

// reader collects files.
type reader struct {
	files  []*file         // also those that could not be read
	count  int             // the files that were read
	total  int             // their size in bytes
	full   bool            // the files exceed the limits
	root   string          // the directory that was given, as in seen
	seen   map[string]bool // by absolute path without symbolic links
	stdin  io.Reader       // nil: pipes are refused
	memory *memory
}

// fail adds a path that could not be read.
func (r *reader) fail(path, got, want, rule string) {
	r.files = append(r.files, &file{File: policy.File{Name: path, Unreadable: &policy.Diagnostic{Got: got, Want: want, Rule: rule}}})
}

// unreadable adds a path with the cause of an error, which would repeat the path.
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

// argument reads a path that the caller gave, whatever its name is.
func (r *reader) argument(path string) {
	if path == "-" || path == "/dev/stdin" {
		r.stream("stdin", r.stdin, nil)
		return
	}
	// This is before the links are resolved: the links of /dev/fd to pipes lead to no file.
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
	if r.path(path, root) == 0 {
		r.fail(path, "a directory without policies", "a directory with *.yaml or *.yml files", "no-policies")
	}
}

// path reads a file, or all policy files of a directory. real is the absolute path without links. It returns how
// many files there are; files that were read before or cannot be read count too.
func (r *reader) path(path, real string) (found int) {
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
		r.file(path, info)
		return 1
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		r.unreadable(path, err)
		return 1
	}
	for _, e := range entries {
		found += r.entry(filepath.Join(path, e.Name()), filepath.Join(real, e.Name()), e)
	}
	return found
}

// realPath returns the absolute path without links, so that paths can be compared. It fails if nothing is
// there.
func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

// leaves reports whether a real path is outside the directory that was given.
func (r *reader) leaves(real string) bool {
	below, err := filepath.Rel(r.root, real)
	return err != nil || !filepath.IsLocal(below)
}

// entry is like path, for an entry of a directory. real is the absolute path if the entry itself is not a link. It
// follows no link out of the directory that was given.
func (r *reader) entry(path, real string, e fs.DirEntry) (found int) {
	isPolicy := slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(path))
	switch {
	case strings.HasPrefix(e.Name(), "."):
		return 0
	case e.Type()&fs.ModeSymlink != 0:
		return r.link(path, isPolicy)
	case e.IsDir() || isPolicy:
		return r.path(path, real)
	}
	return 0
}

// link is like path, for a link in a directory.
func (r *reader) link(path string, isPolicy bool) (found int) {
	info, err := os.Stat(path)
	isDir := err == nil && info.IsDir()
	if !isDir && !isPolicy {
		return 0
	}
	real, err := realPath(path)
	switch {
	case isDir && (err != nil || r.leaves(real)):
		r.fail(path, "a link to a directory elsewhere", "a file, or a directory below the one that was given; give what it leads to by itself", "linked-directory")
		return 1
	case err != nil:
		r.unreadable(path, err)
		return 1
	}
	return r.path(path, real)
}

// stream reads a pipe, or reports err; from is nil where pipes are refused.
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

// file reads at most [policy.MaxFileSize] bytes. It refuses everything but a regular file, and does not
// wait for the other end of a pipe.
func (r *reader) file(path string, info fs.FileInfo) {
	if r.full {
		return
	}
	if known := r.memory.unchanged(path, info); known != nil {
		r.keep(known)
		return
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		r.unreadable(path, err)
		return
	}
	info, err = f.Stat()
	at := r.memory.instant()
	data, err := readFile(f, info, err)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if added := r.add(path, data, err); added != nil {
		r.memory.remember(added, info, at)
	}
}

// add adds the content of a file and returns it, or reports err and returns nil.
func (r *reader) add(path string, data []byte, err error) *file {
	switch {
	case errors.Is(err, errTooLarge):
		r.fail(path, err.Error(), fmt.Sprintf("at most %d MiB", policy.MaxFileSize>>20), "file-too-large")
		return nil
	case err != nil:
		r.unreadable(path, err)
		return nil
	}
	f := &file{File: policy.File{Name: path, Data: data}, size: len(data)}
	if !r.keep(f) {
		return nil
	}
	return f
}

// keep adds a file, or reports that it is one too many.
func (r *reader) keep(f *file) bool {
	if r.total += f.size; r.total > MaxTotalSize || r.count == MaxFiles {
		r.full = true
		r.fail(f.Name, "one file too many", fmt.Sprintf("at most %d files and %d MiB in all", MaxFiles, MaxTotalSize>>20), "too-many-files")
		return false
	}
	r.count++
	r.files = append(r.files, f)
	return true
}

func readFile(f *os.File, info fs.FileInfo, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	return readBounded(f)
}

func readBounded(from io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(from, policy.MaxFileSize+1))
	if len(data) > policy.MaxFileSize {
		return nil, errTooLarge
	}
	return data, err
}
