package policy

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestNotesOnKeyHeaders: a policy whose copies are shared by users says so, with its place.
func TestNotesOnKeyHeaders(t *testing.T) {
	head := "apiVersion: breakwater.dev/v1alpha1\nkind: Upstream\nmetadata: {name: web}\nspec: {endpoints: [{address: 10.0.0.1, port: 80}]}\n---\n" +
		"apiVersion: breakwater.dev/v1alpha1\nkind: BreakerPolicy\nmetadata: {name: web}\nspec:\n  targetRefs: [{kind: Upstream, name: web}]\n  fallback: {cached: {"
	for fields, want := range map[string][]string{
		"":                  nil,
		`keyHeaders: ["*"]`: nil,
		"keyHeaders: [X-Tenant, Accept]": {
			":6: fallback.cached.keyHeaders: one copy answers all requests to web that have the same URL and the same accept, x-tenant, also of users whom another header names",
		},
		"keyHeaders: []": {
			":6: fallback.cached.keyHeaders: one copy answers all requests to web that have the same URL, also of users whom another header names",
		},
	} {
		file := filepath.Join(t.TempDir(), "policy.yaml")
		if err := os.WriteFile(file, []byte(head+fields+"}}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		set, diagnostics := Load([]string{file}, BuiltinDefaults())
		if len(diagnostics) > 0 {
			t.Fatal(diagnostics)
		}
		for i := range want {
			want[i] = file + want[i]
		}
		if got := set.Notes(); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", fields, got, want)
		}
	}
}
