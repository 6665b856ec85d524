package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"breakwater.dev/policy"
)

const head = "apiVersion: breakwater.dev/v1alpha1\nkind: %s\nmetadata: {name: %s}\nspec: {%s}\n"

func upstreamText(name, spec string) string {
	return fmt.Sprintf(head, "Upstream", name, "endpoints: [{address: 10.0.0.1, port: 80}, {address: 10.0.0.2, port: 80}], "+spec)
}

func policyText(name, spec string) string { return fmt.Sprintf(head, "BreakerPolicy", name, spec) }

// objectsOf makes objects of texts, one document each. They stay in this order of precedence.
func objectsOf(texts []string) []*policy.Object {
	var fs []policy.File
	for i, text := range texts {
		fs = append(fs, policy.File{Name: fmt.Sprintf("%d.yaml", i), Data: []byte(text)})
	}
	return policy.Objects(fs)
}

// drawSound draws objects that are right by themselves and together, though fallbacks may form a ring.
func drawSound(t *rapid.T) []string {
	var texts []string
	number := rapid.IntRange(1, 4).Draw(t, "upstreams")
	for i := range number {
		spec := rapid.SampledFrom([]string{
			"", "protocol: HTTP2", "routes: [{name: r, match: {path: /r}}, {name: s, match: {pathPrefix: /s}}]", fmt.Sprintf("hosts: [u%d, h%d]", i, i),
		}).Draw(t, "upstream")
		texts = append(texts, upstreamText(fmt.Sprintf("u%d", i), spec))
		if !rapid.Bool().Draw(t, "with a policy") {
			continue
		}
		targets := fmt.Sprintf("{kind: Upstream, name: u%d}", i)
		fields := rapid.SampledFrom([]string{
			"", ", timeout: 3s", ", dataPath: Inline", ", breaker: {consecutiveFailures: 3}", ", outlierDetection: {maxEjectionPercent: 50%}",
			fmt.Sprintf(", fallback: {upstream: u%d}", (i+1)%number),
		}).Draw(t, "policy")
		texts = append(texts, policyText(fmt.Sprintf("p%d", i), "targetRefs: ["+targets+"]"+fields))
		if strings.Contains(spec, "routes") && rapid.Bool().Draw(t, "with a policy for a route") {
			texts = append(texts, policyText(fmt.Sprintf("r%d", i), "timeout: 4s, targetRefs: ["+strings.Replace(targets, "}", ", sectionName: r}", 1)+"]"))
		}
	}
	if rapid.Bool().Draw(t, "mesh") {
		texts = append(texts, policyText("mesh", "targetRefs: [{kind: Mesh}]"+rapid.SampledFrom([]string{"", ", breaker: {waitDurationInOpenState: 40s}"}).Draw(t, "mesh's")))
	}
	return texts
}

// bad returns objects that are refused beside any sound ones.
func bad(i int) []string {
	name := fmt.Sprintf("bad%d", i)
	return []string{
		"just: text\n",
		"kind: Upstream\nmetadata: {name: " + name + "\n",
		upstreamText(name, "unknown: 1"),
		upstreamText(name, "hosts: ['a b']"),
		upstreamText("u0", ""),
		upstreamText(name, "hosts: [bad, u0]") + "---\n" + upstreamText("u0", "hosts: ["+name+"]"),
		upstreamText("breakwater", ""),
		upstreamText(name, "routes: [{name: r, match: {pathPrefix: /}}, {name: s, match: {path: /s}}]"),
		policyText(name, "targetRefs: [{kind: Mesh}], timeout: 5"),
		policyText(name, "targetRefs: [{kind: Upstream, name: u0}], breaker: {minimumNumberOfCalls: 0}"),
		policyText(name, "targetRefs: [{kind: Upstream, name: elsewhere}]"),
		policyText(name, "targetRefs: []"),
		policyText(name, "targetRefs: [{kind: Upstream, name: "+name+"}]") + "---\n" + upstreamText(name, "hosts: []"),
		"services: {" + name + ": {failure_threshold: 3}}\n",
		"services: {u0: {failure_threshold: -1}}\n",
	}
}

// setText returns everything that a set says.
func setText(t *rapid.T, set *policy.Set) string {
	text, err := policy.Print(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + strings.Join(set.Notes(), "\n")
}

// TestCompileRefusesExactlyTheBadObjects mixes bad objects with sound ones: the set is the same as without
// the bad objects, and the results refuse exactly these, wherever they are in the list.
func TestCompileRefusesExactlyTheBadObjects(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sound := drawSound(t)
		good, alone := policy.Compile(objectsOf(sound), policy.BuiltinDefaults())
		for _, r := range alone {
			if !r.InForce {
				t.Fatalf("%s is refused among sound objects: %v", r.Object.ID, r.Diagnostics)
			}
		}
		texts := slices.Clone(sound)
		for i := range rapid.IntRange(1, 5).Draw(t, "bad") {
			texts = append(texts, rapid.SampledFrom(bad(i)).Draw(t, "text"))
		}
		objects := objectsOf(texts)
		isSound := map[*policy.Object]bool{}
		for _, o := range objects[:len(alone)] {
			isSound[o] = true
		}
		mixed := rapid.Permutation(objects).Draw(t, "order")
		set, results := policy.Compile(mixed, policy.BuiltinDefaults())
		if diff := cmp.Diff(setText(t, good), setText(t, set)); diff != "" {
			t.Errorf("bad objects change the set (-without +with):\n%s", diff)
		}
		for i, r := range results {
			if r.Object != mixed[i] {
				t.Fatalf("result %d is that of %s, want %s", i, r.Object.ID, mixed[i].ID)
			}
			if r.InForce != isSound[r.Object] || !r.InForce && len(r.Diagnostics) == 0 {
				t.Errorf("%s is in force: %t, diagnostics %v", r.Object.ID, r.InForce, r.Diagnostics)
			}
		}
	})
}

// drawAny draws objects with few names, so that they often exclude or contradict one another.
func drawAny(t *rapid.T) []*policy.Object {
	var texts []string
	name := rapid.SampledFrom([]string{"a", "b", "c"})
	for range rapid.IntRange(1, 12).Draw(t, "objects") {
		if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
			texts = append(texts, upstreamText(name.Draw(t, "name"), rapid.SampledFrom([]string{
				"", "protocol: GRPC", "hosts: [a]", "hosts: [b, c]", "routes: [{name: r, match: {path: /r}}]", "loadBalancing: {panicThreshold: 60%}", "protocol: HTTP3",
			}).Draw(t, "upstream")))
			continue
		}
		target := rapid.SampledFrom([]string{
			"{kind: Mesh}", "{kind: Upstream, name: a}", "{kind: Upstream, name: b}", "{kind: Upstream, name: c}", "{kind: Upstream, name: a, sectionName: r}",
		})
		targets := rapid.SliceOfN(target, 1, 2).Draw(t, "targets")
		texts = append(texts, policyText(fmt.Sprintf("p%d", len(texts)), "targetRefs: ["+strings.Join(targets, ", ")+"]"+rapid.SampledFrom([]string{
			"", ", timeout: 3s", ", timeout: 3", ", dataPath: Inline", ", failOpen: false", ", fallback: {upstream: a}", ", fallback: {upstream: b}", ", fallback: {cached: {}}",
			", breaker: {backoff: {max: 20s}}", ", breaker: {waitDurationInOpenState: 10s}", ", outlierDetection: {scope: Mesh}", ", outlierDetection: {maxEjectionPercent: 50%}",
			", breaker: {consecutiveFailures: 0}", ", breaker: {failureRateThreshold: 0%, slowCallRateThreshold: 0%}",
		}).Draw(t, "policy")))
	}
	return objectsOf(texts)
}

// sound reports whether a policy is right by itself. It keeps its targets even where it is not in force.
func sound(o *policy.Object) bool {
	_, results := policy.Compile([]*policy.Object{o}, policy.BuiltinDefaults())
	return !slices.ContainsFunc(results[0].Diagnostics, func(d policy.Diagnostic) bool {
		return d.Rule != "unknown-target" && d.Rule != "duplicate-target" // a policy may give a target twice
	})
}

// TestCompileProperties checks, for any objects: their order makes no difference, refused objects make none,
// and Compile and CompileAll agree on objects without problems.
func TestCompileProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		objects := drawAny(t)
		set, results := policy.Compile(objects, policy.BuiltinDefaults())
		text := setText(t, set)

		shuffled := rapid.Permutation(objects).Draw(t, "order")
		again, _ := policy.Compile(shuffled, policy.BuiltinDefaults())
		if diff := cmp.Diff(text, setText(t, again)); diff != "" {
			t.Errorf("the order of objects changes the set (-before +after):\n%s", diff)
		}

		var kept []*policy.Object
		was := map[*policy.Object]bool{}
		problems := 0
		for _, r := range results {
			problems += len(r.Diagnostics)
			was[r.Object] = r.InForce
			if r.InForce || r.Object.Kind == policy.KindPolicy && sound(r.Object) {
				kept = append(kept, r.Object)
			}
		}
		less, lessResults := policy.Compile(kept, policy.BuiltinDefaults())
		if diff := cmp.Diff(text, setText(t, less)); diff != "" {
			t.Errorf("refused objects change the set (-with +without):\n%s", diff)
		}
		for _, r := range lessResults {
			if r.InForce != was[r.Object] {
				t.Errorf("without refused objects, %s is in force: %t", r.Object.ID, r.InForce)
			}
		}

		whole, diagnostics := policy.CompileAll(objects, policy.BuiltinDefaults())
		if (len(diagnostics) == 0) != (problems == 0) {
			t.Fatalf("all together: %v\none by one: %s", diagnostics, resultsText(results))
		}
		if whole == nil {
			return
		}
		if diff := cmp.Diff(text, setText(t, whole)); diff != "" {
			t.Errorf("sets differ (-one by one +all together):\n%s", diff)
		}
	})
}
