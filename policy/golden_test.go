package policy_test

import (
	"slices"
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

func hasProblems(r policy.Result) bool { return !r.InForce || len(r.Diagnostics) > 0 }

// Each case has files with problems, and the full text of all diagnostics.
func TestDiagnostics(t *testing.T) {
	golden.Run(t, "testdata/diagnostics/*.txtar", func(t *testing.T, in []txtar.File) map[string]string {
		set, ds := policy.Parse(files(in), policy.BuiltinDefaults())
		if set != nil || len(ds) == 0 {
			t.Errorf("Parse returned set %v and %d diagnostics, want no set and some", set, len(ds))
		}
		if _, results := policy.Compile(policy.Objects(files(in)), policy.BuiltinDefaults()); !slices.ContainsFunc(results, hasProblems) {
			t.Error("Parse refuses the files, and Compile accepts every object")
		}
		return map[string]string{"diagnostics": ds.Error()}
	})
}

// Each case has files without problems, and every field of their set.
func TestSet(t *testing.T) {
	golden.Run(t, "testdata/set/*.txtar", func(t *testing.T, in []txtar.File) map[string]string {
		set, ds := policy.Parse(files(in), policy.BuiltinDefaults())
		if len(ds) > 0 {
			t.Fatalf("Parse: %v", ds)
		}
		each, results := policy.Compile(policy.Objects(files(in)), policy.BuiltinDefaults())
		if slices.ContainsFunc(results, hasProblems) || each.Revision != set.Revision {
			t.Errorf("Parse accepts the files, and Compile says:\n%s", resultsText(results))
		}
		text, err := policy.Print(set)
		if err != nil {
			t.Fatal(err)
		}
		return map[string]string{"set.yaml": string(text)}
	})
}
