package files

import (
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"breakwater.dev/policy"
)

// Loader loads files and directories again and again, at the cost of the changes: it reads and parses only files that
// are new or were changed, and compiles what depends on them. Make one with [NewLoader]. It is for one goroutine at a time.
type Loader struct {
	paths    []string
	compiler *policy.Compiler
	memory   memory

	objects     []*policy.Object // that the last load found
	set         *policy.Set
	diagnostics policy.Diagnostics
}

// NewLoader returns a loader that has loaded nothing yet.
//
// In a directory it reads *.yaml and *.yml, and the subdirectories. It leaves out hidden entries, which
// include the ..data directory of a mounted ConfigMap. It follows symbolic links to files, and to
// directories below the given one. A file that can be reached in two ways is read once.
func NewLoader(paths []string, d policy.Defaults) *Loader {
	return &Loader{
		paths: slices.Clone(paths), compiler: policy.NewCompiler(d), memory: memory{now: time.Now, files: map[string]*known{}},
	}
}

// Load returns a set, or all diagnostics and no set, like [policy.CompileAll]: files are in force all together or not at
// all. If the files say what they said at the last load that returned a set, it is that very set. Upstreams that are the
// same as in that set are the same pointers, see [policy.Compiler.CompileAll].
func (l *Loader) Load() (*policy.Set, policy.Diagnostics) {
	l.memory.begin()
	objects := parse(read(l.paths, nil, &l.memory))
	l.memory.end()
	if !slices.Equal(objects, l.objects) {
		l.objects = objects
		l.set, l.diagnostics = l.compiler.CompileAll(objects)
	}
	return l.set, l.diagnostics
}

// LoadOnce loads as a [Loader] does, for a caller that reads only once: a path may also be a pipe, which is read to its
// end, or "-", which is stdin. A nil stdin refuses pipes.
func LoadOnce(paths []string, stdin io.Reader, d policy.Defaults) (*policy.Set, policy.Diagnostics) {
	return policy.CompileAll(parse(read(paths, stdin, nil)), d)
}

// parse returns the objects of files. It parses on all processors the files that are not parsed yet.
func parse(files []*file) []*policy.Object {
	var next atomic.Int64
	var running sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		running.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(files) {
					return
				}
				files[i].parse()
			}
		})
	}
	running.Wait()
	first, each := "", make([][]*policy.Object, len(files))
	for i, f := range files {
		each[i] = f.objects
	}
	if len(files) > 0 {
		first = files[0].Name
	}
	return policy.Join(first, each)
}

// parse reads the objects of the file, once.
func (f *file) parse() {
	if !f.parsed {
		f.objects, f.parsed = f.File.Objects(), true
		f.Data = nil // the objects say it all
	}
}
