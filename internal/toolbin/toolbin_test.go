package toolbin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var envoy = Tool{Name: "Envoy", Variable: "ENVOY", File: "envoy", Get: "make tools"}

func executable(t *testing.T, elements ...string) string {
	t.Helper()
	path := filepath.Join(elements...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFindPrefersEnvironmentThenPathThenTools(t *testing.T) {
	module := t.TempDir()
	inner := filepath.Join(module, "a", "b")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(module, "go.mod"), []byte("module m\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	t.Setenv("PATH", bin)

	if got, err := envoy.find("", inner); err == nil || !strings.Contains(err.Error(), "make tools") {
		t.Errorf("with no Envoy anywhere: got %q and error %v, want an error that says make tools", got, err)
	}
	tools := executable(t, module, ".tools", "envoy")
	if got, err := envoy.find("", inner); err != nil || got != tools {
		t.Errorf("got %q, %v, want the one in .tools %q", got, err, tools)
	}
	if err := os.WriteFile(filepath.Join(inner, "go.mod"), []byte("module inner\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := envoy.find("", inner); err != nil || got != tools {
		t.Errorf("in a module within the module: got %q, %v, want the one in .tools %q", got, err, tools)
	}
	onPath := executable(t, bin, "envoy")
	if got, err := envoy.find("", inner); err != nil || got != onPath {
		t.Errorf("got %q, %v, want the one on the PATH %q", got, err, onPath)
	}
	given := executable(t, t.TempDir(), "envoy-1.40")
	if got, err := envoy.find(given, inner); err != nil || got != given {
		t.Errorf("got %q, %v, want the one of $ENVOY %q", got, err, given)
	}
	if got, err := envoy.find(given+"-gone", inner); err == nil {
		t.Errorf("$ENVOY names a file that is not there: got %q, want an error", got)
	}
}

func TestFindOutsideOfAModule(t *testing.T) {
	t.Setenv("PATH", "")
	if got, err := envoy.find("", t.TempDir()); err == nil {
		t.Errorf("got %q, want an error", got)
	}
}
