package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"breakwater.dev/policy"
)

// meshFiles is 200 files with 100 upstreams each, and a policy for each upstream.
func meshFiles() []policy.File {
	var all []policy.File
	for f := range 200 {
		var b strings.Builder
		for i := range 100 {
			n := f*100 + i
			fmt.Fprintf(&b, "---\napiVersion: breakwater.dev/v1alpha1\nkind: Upstream\nmetadata: {name: u%d}\nspec: {hosts: [u%d, u%d.shop.svc], endpoints: [{address: 10.0.%d.%d, port: 80}]}\n", n, n, n, n>>8, n&255)
			fmt.Fprintf(&b, "---\napiVersion: breakwater.dev/v1alpha1\nkind: BreakerPolicy\nmetadata: {name: p%d}\nspec: {targetRefs: [{kind: Upstream, name: u%d}], breaker: {consecutiveFailures: 3}}\n", n, n)
		}
		all = append(all, policy.File{Name: fmt.Sprintf("%03d.yaml", f), Data: []byte(b.String())})
	}
	return all
}

// objectsEach returns the objects of each file.
func objectsEach(files []policy.File) [][]*policy.Object {
	each := make([][]*policy.Object, len(files))
	for i, f := range files {
		each[i] = f.Objects()
	}
	return each
}

// BenchmarkReload changes one of 20,000 upstreams again and again. It prints how many times cheaper that is with memory than
// without, both measured in the same run.
func BenchmarkReload(b *testing.B) {
	files := meshFiles()
	fresh := time.Now()
	if _, problems := policy.Parse(files, policy.BuiltinDefaults()); len(problems) > 0 {
		b.Fatal(problems)
	}
	without := time.Since(fresh)
	each := objectsEach(files)
	c := policy.NewCompiler(policy.BuiltinDefaults())
	if _, problems := c.CompileAll(policy.Join("", each)); len(problems) > 0 {
		b.Fatal(problems)
	}
	text := string(files[70].Data)
	runs := 0
	for b.Loop() {
		runs++
		files[70].Data = []byte(strings.Replace(text, "consecutiveFailures: 3", fmt.Sprintf("consecutiveFailures: %d", 4+runs%90), 1))
		each[70] = files[70].Objects()
		if _, problems := c.CompileAll(policy.Join("", each)); len(problems) > 0 {
			b.Fatal(problems)
		}
	}
	with := b.Elapsed() / time.Duration(runs)
	b.ReportMetric(float64(without)/float64(with), "times-cheaper")
}
