package policy_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"breakwater.dev/policy"
)

// Any bytes give no panic, and either a set or diagnostics, the same each time. Every diagnostic has its place.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/diagnostics/*.txtar", "testdata/set/*.txtar"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			f.Fatalf("no seeds in %s: %v", pattern, err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			for _, file := range txtar.Parse(data).Files {
				f.Add(file.Data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in := []policy.File{{Name: "fuzz.yaml", Data: data}}
		set, ds := policy.Parse(in, policy.BuiltinDefaults())
		if (set == nil) == (len(ds) == 0) {
			t.Fatalf("set %v with diagnostics %v", set, ds)
		}
		for _, d := range ds {
			if d.File == "" || d.Rule == "" || d.Got == "" || d.Want == "" || (d.Line == 0) != (d.Col == 0) {
				t.Errorf("an incomplete diagnostic: %+v", d)
			}
		}
		checkOneByOne(t, in, set)
		again, dsAgain := policy.Parse(in, policy.BuiltinDefaults())
		if diff := cmp.Diff(ds, dsAgain); diff != "" {
			t.Errorf("different diagnostics the second time:\n%s", diff)
		}
		if set == nil {
			return
		}
		if set.Revision != again.Revision {
			t.Errorf("revisions %s and %s", set.Revision, again.Revision)
		}
		if _, err := policy.Print(set); err != nil {
			t.Error(err)
		}
		for _, spec := range set.Specs() {
			if problems := spec.Config.Validate(); len(problems) > 0 || spec.Lease <= 0 {
				t.Errorf("breaker %s: lease %s, problems %v", spec.Key, spec.Lease, problems)
			}
			if (spec.Config.WindowSize == 0) == (spec.Config.WindowDuration == 0) {
				t.Errorf("breaker %s: a window of %d calls and %s, want one of them", spec.Key, spec.Config.WindowSize, spec.Config.WindowDuration)
			}
		}
		for _, u := range set.Upstreams {
			if (len(u.Hosts) == 0) != (u.Protocol == policy.TCP) || (u.Port == 0) == (u.Protocol == policy.TCP) || len(u.Routes) == 0 || (u.DNS == nil) == (len(u.Endpoints) == 0) {
				t.Errorf("an incomplete upstream: %+v", u)
			}
			checkTimes(t, u)
		}
	})
}

// checkOneByOne compiles the objects of files one by one, and compares the results with what Parse made of them.
func checkOneByOne(t *testing.T, in []policy.File, whole *policy.Set) {
	t.Helper()
	set, results := policy.Compile(policy.Objects(in), policy.BuiltinDefaults())
	problems := false
	for _, r := range results {
		if !r.InForce && len(r.Diagnostics) == 0 {
			t.Errorf("%s is refused and has no diagnostics", r.Object.ID)
		}
		problems = problems || len(r.Diagnostics) > 0
	}
	if problems != (whole == nil) || whole != nil && whole.Revision != set.Revision {
		t.Errorf("one by one the objects give another set:\n%s", resultsText(results))
	}
	if _, err := policy.Print(set); err != nil {
		t.Error(err)
	}
}

// checkTimes checks what is documented about the timeouts of an upstream.
func checkTimes(t *testing.T, u *policy.Upstream) {
	t.Helper()
	for _, r := range u.Routes {
		first := r.ResponseHeaderTimeout
		if first == 0 {
			first = r.Timeout
		}
		if r.Timeout > 0 && r.ResponseHeaderTimeout >= r.Timeout || r.IdleTimeout > 0 && r.IdleTimeout <= first {
			t.Errorf("upstream %s: timeout %s, for headers %s, idle %s", u.Name, r.Timeout, r.ResponseHeaderTimeout, r.IdleTimeout)
		}
		if u.Protocol == policy.TCP && r.ResponseHeaderTimeout+r.IdleTimeout > 0 {
			t.Errorf("upstream %s is of protocol TCP and has a time for headers, or to be idle", u.Name)
		}
		if r.Breaker != nil && first > 0 && r.Breaker.Spec.Lease <= first {
			t.Errorf("breaker %s: a lease of %s, and %s for the headers", r.Breaker.Spec.Key, r.Breaker.Spec.Lease, first)
		}
	}
}
