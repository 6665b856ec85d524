// Package envoybin finds the Envoy that tests run.
//
// In: $ENVOY, the PATH, and .tools/envoy at the root of the module and of the modules around it, in this order.
// Out: the path of a binary.
// Called by: tests that need a real Envoy.
// Never: skips a test; where there is no Envoy, the test fails and says how to get one.
// Concurrency: Path may be called by several tests at once.
package envoybin

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Path returns the absolute path of an Envoy binary, or fails the test.
func Path(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	path, err := find(os.Getenv("ENVOY"), dir)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// find looks for a binary: the given one, which has to be there if it is not
// empty, one on the PATH, or the one that `make tools` put into a module that
// holds dir.
func find(given, dir string) (string, error) {
	if given != "" {
		path, err := exec.LookPath(given)
		if err != nil {
			return "", fmt.Errorf("looking for the Envoy that $ENVOY names: %w", err)
		}
		return filepath.Abs(path)
	}
	if path, err := exec.LookPath("envoy"); err == nil {
		return filepath.Abs(path)
	}
	roots, err := moduleRoots(dir)
	if err != nil {
		return "", fmt.Errorf("looking for Envoy: %w", err)
	}
	for _, root := range roots {
		var path string
		if path, err = exec.LookPath(filepath.Join(root, ".tools", "envoy")); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no Envoy in $ENVOY, on the PATH or in .tools: run `make tools`: %w", err)
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
