package policy

import (
	"slices"
	"testing"
)

// TestNotesOnKeyHeaders checks the note on a policy whose copies several users may share.
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
		set, diagnostics := Parse([]File{{Name: "policy.yaml", Data: []byte(head + fields + "}}\n")}}, BuiltinDefaults())
		if len(diagnostics) > 0 {
			t.Fatal(diagnostics)
		}
		for i := range want {
			want[i] = "policy.yaml" + want[i]
		}
		if got := set.Notes(); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", fields, got, want)
		}
	}
}
