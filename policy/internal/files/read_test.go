package files

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// A file in the place of one that was read is found by each of its names once.
func TestReadOnce(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b.yaml", "a.yaml"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, problems := Read([]string{filepath.Join(dir, "b.yaml"), dir, dir, dir + "/./a.yaml"}, nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	text := ""
	for _, f := range got {
		text += fmt.Sprintf("%s=%s ", filepath.Base(f.Name), f.Data)
	}
	if want := "b.yaml=b.yaml a.yaml=a.yaml "; text != want {
		t.Errorf("read %s, want %s", text, want)
	}
}

func TestReadAtTheLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.yaml")
	for size, want := range map[int]int{MaxSize: 1, MaxSize + 1: 0} {
		if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, problems := Read([]string{path}, nil); len(got) != want || len(problems) != 1-want {
			t.Errorf("%d bytes: %d files, problems %v", size, len(got), problems)
		}
	}
}
