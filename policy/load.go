package policy

import (
	"fmt"
	"io"

	"breakwater.dev/policy/internal/files"
	"breakwater.dev/policy/internal/yamlwalk"
)

// Limits on what is loaded.
const (
	MaxFileSize  = files.MaxSize      // bytes of one file
	MaxTotalSize = files.MaxTotalSize // bytes of all files
	MaxFiles     = files.MaxCount
)

// Load reads and compiles files and directories. Of a directory it takes *.yaml
// and *.yml, its subdirectories too; it leaves out what is hidden, which includes
// the ..data directory of a mounted ConfigMap, and follows symbolic links to files, and to
// directories below the one that was given. A file that is reached by two ways is read once. It returns a Set or diagnostics, like [Parse].
func Load(paths []string, d Defaults) (*Set, Diagnostics) { return load(paths, nil, d) }

// LoadOnce is Load for a caller that reads only once: a path may also be that of a pipe, which is
// read to its end, or "-", which is stdin.
func LoadOnce(paths []string, stdin io.Reader, d Defaults) (*Set, Diagnostics) {
	return load(paths, stdin, d)
}

func load(paths []string, stdin io.Reader, d Defaults) (*Set, Diagnostics) {
	c := &compiler{defaults: d}
	if len(paths) == 0 {
		c.diagnostics.report("policies", yamlwalk.Problem{Got: "no path", Want: "at least one file or directory", Rule: "no-policies"})
	}
	read, problems := files.Read(paths, stdin)
	for _, p := range problems {
		c.diagnostics.report(p.Path, yamlwalk.Problem{Got: p.Got, Want: p.Want, Rule: p.Rule})
	}
	// What could be read is judged too, but not for what may be in the rest.
	c.complete = len(c.diagnostics) == 0
	in := make([]File, len(read))
	for i, f := range read {
		in[i] = File(f)
	}
	return c.run(in)
}

func tooLarge() yamlwalk.Problem {
	return yamlwalk.Problem{
		Got: "a larger file", Want: fmt.Sprintf("at most %d MiB", MaxFileSize>>20), Rule: "file-too-large",
	}
}
