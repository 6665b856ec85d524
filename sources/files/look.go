package files

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// fingerprint is a hash of names, sizes, times of change and targets of links.
type fingerprint [sha256.Size]byte

// directory identifies a directory, so that another one that later has its name is not taken for it.
type directory struct{ info fs.FileInfo }

func (d directory) same(other directory) bool { return os.SameFile(d.info, other.info) }

// sight is the result of one look at the paths.
type sight struct {
	directories map[string]directory // that must be watched
	sum         fingerprint
}

// look walks the paths, each real directory once. It follows links as a [Loader] does: not to a directory
// outside the path that has the link, since otherwise a link to /proc would be walked at each look.
func look(paths []string) sight {
	l := looker{directories: map[string]directory{}, visited: map[string]bool{}, hash: sha256.New()}
	for _, p := range paths {
		l.watch(filepath.Dir(p))
		l.root, _ = realPath(p) // empty if nothing is there
		l.path(p)
	}
	s := sight{directories: l.directories}
	l.hash.Sum(s.sum[:0])
	return s
}

// looker collects what one look sees.
type looker struct {
	directories map[string]directory
	root        string          // real path of the file or directory that is walked
	visited     map[string]bool // real paths
	hash        hash.Hash
}

// watch adds a directory that is not walked, if it exists.
func (l *looker) watch(dir string) {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		l.directories[dir] = directory{info}
	}
}

// path adds a file to the fingerprint, or a directory and everything below it.
func (l *looker) path(path string) {
	target, err := os.Readlink(path)
	if err != nil {
		target = "" // no link, or nothing at all
	}
	info, err := os.Stat(path)
	if err != nil {
		fmt.Fprintf(l.hash, "%q %q: %q\n", path, target, err)
		return
	}
	fmt.Fprintf(l.hash, "%q %q %s %d %d\n", path, target, info.Mode(), info.Size(), info.ModTime().UnixNano())
	if !info.IsDir() {
		return
	}
	real, err := realPath(path)
	if err != nil {
		return // it has vanished
	}
	below, err := filepath.Rel(l.root, real)
	if err != nil || !filepath.IsLocal(below) || l.visited[real] {
		return
	}
	l.visited[real] = true
	l.directories[path] = directory{info}
	entries, err := os.ReadDir(path)
	if err != nil {
		fmt.Fprintf(l.hash, "%q\n", err)
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			l.path(filepath.Join(path, e.Name()))
		}
	}
}
