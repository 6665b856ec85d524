package policy

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

	"breakwater.dev/policy/internal/yamlwalk"
)

// Limits on what is read.
const (
	MaxFileSize  = 1 << 20  // bytes of one file
	MaxTotalSize = 64 << 20 // bytes of all files
	MaxFiles     = 10_000
)

// Load reads and compiles files and directories. Of a directory it takes *.yaml
// and *.yml, its subdirectories too; it leaves out what is hidden, which includes
// the ..data directories of a mounted ConfigMap, and follows symbolic links. A file
// that is reached by two ways is read once. It returns a Set or diagnostics, like [Parse].
func Load(paths []string, d Defaults) (*Set, Diagnostics) {
	r := reader{seen: map[string]bool{}}
	for _, path := range paths {
		r.argument(path)
	}
	if len(paths) == 0 {
		r.diagnostics.report("policies", yamlwalk.Problem{Got: "no path", Want: "at least one file or directory", Rule: "no-policies"})
	}
	// What could be read is judged too, but not for what may be in the rest.
	c := &compiler{defaults: d, diagnostics: r.diagnostics, complete: len(r.diagnostics) == 0}
	return c.run(r.files)
}

// reader collects files.
type reader struct {
	files       []File
	total       int
	full        bool
	seen        map[string]bool // by path without symbolic links
	diagnostics Diagnostics
}

func (r *reader) fail(path, got, want, rule string) {
	r.diagnostics.report(path, yamlwalk.Problem{Got: got, Want: want, Rule: rule})
}

// unreadable reports the cause without the path that it repeats.
func (r *reader) unreadable(path string, err error) {
	var cause *fs.PathError
	if errors.As(err, &cause) {
		err = cause.Err
	}
	r.fail(path, err.Error(), "a readable file or directory", "unreadable-file")
}

// argument reads a path that was asked for by name, whatever its name is.
func (r *reader) argument(path string) {
	if r.path(path) == 0 {
		r.fail(path, "a directory without policies", "a directory with *.yaml or *.yml files", "no-policies")
	}
}

// path reads a file, or all policy files of a directory. It returns how many there
// are, where one that was read before or cannot be read counts too.
func (r *reader) path(path string) (found int) {
	real, err := filepath.EvalSymlinks(path)
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
		if r.wanted(path, e) {
			found += r.path(filepath.Join(path, e.Name()))
		}
	}
	return found
}

// wanted tells whether an entry of a directory is a policy file or a directory.
func (r *reader) wanted(dir string, e fs.DirEntry) bool {
	if strings.HasPrefix(e.Name(), ".") {
		return false
	}
	if e.IsDir() || slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(e.Name())) {
		return true
	}
	if e.Type()&fs.ModeSymlink == 0 {
		return false
	}
	// Of other links only those to directories matter.
	info, err := os.Stat(filepath.Join(dir, e.Name()))
	return err == nil && info.IsDir()
}

// file reads at most [MaxFileSize] bytes. Opening does not wait for the other end of
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
	data, problem := readFile(f)
	if err := f.Close(); err != nil && problem == nil {
		problem = &yamlwalk.Problem{Got: err.Error(), Want: "a readable file or directory", Rule: "unreadable-file"}
	}
	if problem != nil {
		r.diagnostics.report(path, *problem)
		return
	}
	if r.total += len(data); r.total > MaxTotalSize || len(r.files) == MaxFiles {
		r.full = true
		r.fail(path, "one file too many", fmt.Sprintf("at most %d files and %d MiB in all", MaxFiles, MaxTotalSize>>20), "too-many-files")
		return
	}
	r.files = append(r.files, File{Name: path, Data: data})
}

func readFile(f *os.File) ([]byte, *yamlwalk.Problem) {
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		return nil, &yamlwalk.Problem{Got: "not a regular file", Want: "a readable file or directory", Rule: "unreadable-file"}
	}
	var data []byte
	if err == nil {
		data, err = io.ReadAll(io.LimitReader(f, MaxFileSize+1))
	}
	if err != nil {
		return nil, &yamlwalk.Problem{Got: err.Error(), Want: "a readable file or directory", Rule: "unreadable-file"}
	}
	if len(data) > MaxFileSize {
		problem := tooLarge()
		return nil, &problem
	}
	return data, nil
}

func tooLarge() yamlwalk.Problem {
	return yamlwalk.Problem{
		Got: "a larger file", Want: fmt.Sprintf("at most %d MiB", MaxFileSize>>20), Rule: "file-too-large",
	}
}
