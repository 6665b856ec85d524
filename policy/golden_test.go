package policy_test

import (
	"testing"

	"golang.org/x/tools/txtar"

	"breakwater.dev/internal/golden"
	"breakwater.dev/policy"
)

func files(in []txtar.File) []policy.File {
	var fs []policy.File
	for _, f := range in {
		fs = append(fs, policy.File{Name: f.Name, Data: f.Data})
	}
	return fs
}

// Each case is files that are wrong, and the full text of what is said about them.
func TestDiagnostics(t *testing.T) {
	golden.Run(t, "testdata/diagnostics/*.txtar", func(t *testing.T, in []txtar.File) map[string]string {
		set, ds := policy.Parse(files(in), policy.BuiltinDefaults())
		if set != nil || len(ds) == 0 {
			t.Errorf("Parse returned set %v and %d diagnostics, want no set and some", set, len(ds))
		}
		return map[string]string{"diagnostics": ds.Error()}
	})
}

// Each case is files that are right, and every field of the set they make.
func TestSet(t *testing.T) {
	golden.Run(t, "testdata/set/*.txtar", func(t *testing.T, in []txtar.File) map[string]string {
		set, ds := policy.Parse(files(in), policy.BuiltinDefaults())
		if len(ds) > 0 {
			t.Fatalf("Parse: %v", ds)
		}
		text, err := policy.Print(set)
		if err != nil {
			t.Fatal(err)
		}
		return map[string]string{"set.yaml": string(text)}
	})
}
