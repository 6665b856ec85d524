// Package golden compares what a test got with what a txtar file says.
//
// In: a directory of cases, each one txtar file, found by glob.
// Out: a failed test with a diff, or with -update the files rewritten.
// Called by: tests only.
// Never: makes a case pass that has no expectation; an empty directory fails.
// Concurrency: cases run one after another.
package golden

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite golden files with what the tests got")

// Prefix marks the files of an archive that are output. All others are input.
const Prefix = "want/"

// Run calls produce for every txtar file that matches pattern. It gets the input
// files and returns the output files by name, without [Prefix]. They have to be
// exactly the output files of the archive; with -update they replace them.
func Run(t *testing.T, pattern string, produce func(t *testing.T, in []txtar.File) map[string]string) {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatalf("no golden files match %s", pattern)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".txtar")
		t.Run(name, func(t *testing.T) { runCase(t, path, produce) })
	}
}

func runCase(t *testing.T, path string, produce func(*testing.T, []txtar.File) map[string]string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	archive := txtar.Parse(data)
	var in []txtar.File
	want := map[string]string{}
	for _, f := range archive.Files {
		if out, ok := strings.CutPrefix(f.Name, Prefix); ok {
			want[out] = string(f.Data)
			continue
		}
		in = append(in, f)
	}
	got := produce(t, in)
	for name, text := range got {
		if text != "" && !strings.HasSuffix(text, "\n") {
			got[name] = text + "\n"
		}
	}
	if !*update {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s differs (-want +got); if the new output is right, run the test with -update:\n%s", path, diff)
		}
		return
	}
	archive.Files = in
	for _, name := range slices.Sorted(maps.Keys(got)) {
		archive.Files = append(archive.Files, txtar.File{Name: Prefix + name, Data: []byte(got[name])})
	}
	if updated := txtar.Format(archive); !bytes.Equal(updated, data) {
		if err := os.WriteFile(path, updated, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
