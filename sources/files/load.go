package files

import (
	"io"

	"breakwater.dev/policy"
)

// Load reads and compiles files and directories. It returns a set, or all diagnostics and no set, like
// [policy.CompileAll]: files are in force all together or not at all.
//
// In a directory it reads *.yaml and *.yml, and the subdirectories. It leaves out hidden entries, which
// include the ..data directory of a mounted ConfigMap. It follows symbolic links to files, and to
// directories below the given one. A file that can be reached in two ways is read once.
func Load(paths []string, d policy.Defaults) (*policy.Set, policy.Diagnostics) {
	return policy.CompileAll(Objects(paths, nil), d)
}

// LoadOnce is Load for a caller that reads only once: a path may also be a pipe, which is read to its end, or
// "-", which is stdin.
func LoadOnce(paths []string, stdin io.Reader, d policy.Defaults) (*policy.Set, policy.Diagnostics) {
	return policy.CompileAll(Objects(paths, stdin), d)
}

// Objects returns the objects in files and directories, see [Load], and one for each path that cannot be
// read. A nil stdin refuses pipes.
func Objects(paths []string, stdin io.Reader) []*policy.Object {
	return policy.Objects(read(paths, stdin))
}
