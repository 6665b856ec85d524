package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"breakwater.dev/policy"
)

// manyFiles is 1,000 upstreams with a policy each, and one for the mesh.
func manyFiles() []policy.File {
	var b strings.Builder
	b.WriteString("apiVersion: breakwater.dev/v1alpha1\nkind: BreakerPolicy\nmetadata: {name: mesh}\nspec: {targetRefs: [{kind: Mesh}], timeout: 5s}\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "---\napiVersion: breakwater.dev/v1alpha1\nkind: Upstream\nmetadata: {name: u%d}\nspec: {endpoints: [{address: 10.0.0.1, port: 80}]}\n", i)
		fmt.Fprintf(&b, "---\napiVersion: breakwater.dev/v1alpha1\nkind: BreakerPolicy\nmetadata: {name: p%d}\nspec: {targetRefs: [{kind: Upstream, name: u%d}], breaker: {consecutiveFailures: 3}}\n", i, i)
	}
	return []policy.File{{Name: "many.yaml", Data: []byte(b.String())}}
}

func BenchmarkParse(b *testing.B) {
	in := manyFiles()
	for b.Loop() {
		if _, ds := policy.Parse(in, policy.BuiltinDefaults()); len(ds) > 0 {
			b.Fatal(ds)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	objects := policy.Objects(manyFiles())
	for b.Loop() {
		if _, results := policy.Compile(objects, policy.BuiltinDefaults()); len(results) != 2001 {
			b.Fatal(len(results))
		}
	}
}
