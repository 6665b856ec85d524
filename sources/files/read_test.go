package files

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"breakwater.dev/policy"
)

// A file is read once, even if the arguments name it in several ways.
func TestReadOnce(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b.yaml", "a.yaml"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text := ""
	for _, f := range read([]string{filepath.Join(dir, "b.yaml"), dir, dir, dir + "/./a.yaml"}, nil, nil) {
		if f.Unreadable != nil {
			t.Fatal(f.Unreadable)
		}
		text += fmt.Sprintf("%s=%s ", filepath.Base(f.Name), f.Data)
	}
	if want := "b.yaml=b.yaml a.yaml=a.yaml "; text != want {
		t.Errorf("read %s, want %s", text, want)
	}
}

func TestReadAtTheLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.yaml")
	for size, want := range map[int]bool{policy.MaxFileSize: true, policy.MaxFileSize + 1: false} {
		if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
		got := read([]string{path}, nil, nil)
		if len(got) != 1 || (got[0].Unreadable == nil) != want {
			t.Errorf("%d bytes: %d files, the first is unreadable: %v", size, len(got), got[0].Unreadable)
		}
	}
}
