// Package toolbin finds the programs of others that tests run.
//
// In: an environment variable, the PATH, and .tools at the root of the module and of the modules around it, in this order.
// Out: the path of a binary.
// Called by: the test kits for Envoy and for Redis.
// Never: skips a test; where there is no program, the test fails and says how to get it.
// Concurrency: Path may be called by several tests at once.
package toolbin

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Tool is a program of others.
type Tool struct {
	// Name is for messages, such as "Envoy".
	Name string
	// Variable is the environment variable that may have its path.
	Variable string
	// File is its name on the PATH and in .tools.
	File string
	// Get is the command that gets it.
	Get string
}

// Path returns the absolute path of the program, or fails the test.
func (tool Tool) Path(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	path, err := tool.find(os.Getenv(tool.Variable), dir)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// find looks for a binary: the given one, which has to be there if it is not
// empty, one on the PATH, or the one that `make tools` put into a module that
// holds dir.
func (tool Tool) find(given, dir string) (string, error) {
	if given != "" {
		path, err := exec.LookPath(given)
		if err != nil {
			return "", fmt.Errorf("looking for the %s that $%s names: %w", tool.Name, tool.Variable, err)
		}
		return filepath.Abs(path)
	}
	if path, err := exec.LookPath(tool.File); err == nil {
		return filepath.Abs(path)
	}
	roots, err := moduleRoots(dir)
	if err != nil {
		return "", fmt.Errorf("looking for %s: %w", tool.Name, err)
	}
	for _, root := range roots {
		var path string
		if path, err = exec.LookPath(filepath.Join(root, ".tools", tool.File)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no %s in $%s, on the PATH or in .tools: run `%s`: %w", tool.Name, tool.Variable, tool.Get, err)
}

// moduleRoots returns dir and the directories above it that hold a go.mod, from the innermost one outwards. A module of its
// own, such as the benchmarks, is in the directory of the main one.
func moduleRoots(dir string) (roots []string, err error) {
	for {
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		if err == nil {
			roots = append(roots, dir)
		} else if !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			break
		}
		dir = parent
	}
	if len(roots) == 0 {
		return nil, errors.New("no go.mod in this directory or above")
	}
	return roots, nil
}
