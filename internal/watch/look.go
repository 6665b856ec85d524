package watch

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// fingerprint is equal while names, sizes, times of change and targets of links are.
type fingerprint [sha256.Size]byte

// directory tells one directory from another that has its name later.
type directory struct{ info fs.FileInfo }

func (d directory) same(other directory) bool { return os.SameFile(d.info, other.info) }

// sight is what one look at the paths saw.
type sight struct {
	directories map[string]directory // to be watched
	sum         fingerprint
}

// look walks the paths, each real directory once. It follows links to directories below the path that
// leads to them, as the reader of policies does, but not to others: one to /proc would be walked at each look.
func look(paths []string) sight {
	l := looker{directories: map[string]directory{}, visited: map[string]bool{}, hash: sha256.New()}
	for _, p := range paths {
		l.watch(filepath.Dir(p))
		l.root = realPath(p)
		l.path(p)
	}
	s := sight{directories: l.directories}
	l.hash.Sum(s.sum[:0])
	return s
}

type looker struct {
	directories map[string]directory
	root        string          // real path of what is walked
	visited     map[string]bool // real paths
	hash        hash.Hash
}

// watch notes a directory that is not walked, if it is there.
func (l *looker) watch(dir string) {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		l.directories[dir] = directory{info}
	}
}

// realPath is absolute, and empty where nothing is there.
func realPath(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return ""
	}
	path, err = filepath.EvalSymlinks(path)
	if err != nil {
		return ""
	}
	return path
}

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
	real := realPath(path)
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
