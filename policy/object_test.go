package policy_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"breakwater.dev/policy"
)

// clusterObject is an object as a source has it whose objects have ids and generations.
func clusterObject(kind, name string, generation int64, spec string) *policy.Object {
	o := policy.NewObject(policy.ID{Kind: kind, Namespace: "shop", Name: name},
		fmt.Appendf(nil, `{"apiVersion":"breakwater.dev/v1alpha1","kind":%q,"metadata":{"name":%q,"uid":"1"},"spec":%s,"status":{}}`, kind, name, spec))
	o.Generation = generation
	return o
}

const clusterEndpoints = `{"endpoints":[{"address":"10.0.0.1","port":80}]}`

// An object that is not from a file is named by its id and a path in diagnostics, without lines.
func TestObjectsThatAreNotFromFiles(t *testing.T) {
	objects := []*policy.Object{
		clusterObject(policy.KindUpstream, "payments", 1, clusterEndpoints),
		clusterObject(policy.KindUpstream, "Search!", 1, clusterEndpoints),
		clusterObject(policy.KindUpstream, "none", 1, `{"endpoints":[{"address":"nowhere"}],"hosts":["payments"]}`),
		clusterObject(policy.KindPolicy, "mesh", 1, `{"targetRefs":[{"kind":"Mesh"}],"outlierDetection":{"maxEjectionPercent":"10%"}}`),
		clusterObject(policy.KindPolicy, "mesh-too", 1, `{"targetRefs":[{"kind":"Mesh"}]}`),
		policy.NewObject(policy.ID{Kind: policy.KindPolicy, Name: "text"}, []byte("{")),
		policy.NewObject(policy.ID{Kind: policy.KindPolicy, Name: "two"}, []byte("{}\n---\n{}")),
		policy.NewObject(policy.ID{Kind: policy.KindPolicy, Name: "empty"}, []byte("{}")),
	}
	set, results := policy.Compile(objects, policy.BuiltinDefaults())
	const want = `Upstream/shop/payments: in force
Upstream/shop/Search!: refused
  Upstream/shop/Search!: metadata.name = "Search!"; must be a name of at most 63 characters a-z, 0-9, - and _, with a letter or digit at both ends [bad-name]
Upstream/shop/none: refused
  Upstream/shop/none: spec.endpoints[0].address = "nowhere"; must be an IP address; for a name use dns in place of endpoints [bad-address]
  Upstream/shop/none: spec.endpoints[0].port = nothing; must be given [missing-field]
BreakerPolicy/shop/mesh: refused
  BreakerPolicy/shop/mesh: spec.outlierDetection.maxEjectionPercent = "10%"; must be at least 100%, or with alwaysEjectOneEndpoint: true: upstream payments has 1 endpoints, and it rounds down to none of them [never-ejects]
BreakerPolicy/shop/mesh-too: refused
  BreakerPolicy/shop/mesh-too: spec.targetRefs[0] = the mesh; must be targeted by one policy; mesh at BreakerPolicy/shop/mesh targets it too [duplicate-target]
BreakerPolicy/text: refused
  BreakerPolicy/text: did not find expected node content; must be well-formed YAML [yaml-syntax]
BreakerPolicy/two: refused
  BreakerPolicy/two: 2 documents; must be one object [not-a-policy]
BreakerPolicy/empty: refused
  BreakerPolicy/empty: spec = nothing; must be given [missing-field]
`
	if diff := cmp.Diff(want, resultsText(results)); diff != "" {
		t.Errorf("results differ (-want +got):\n%s", diff)
	}
	if len(set.Upstreams) != 1 || set.Upstream("payments").Origin.Place() != "Upstream/shop/payments" {
		t.Errorf("the set has %+v", set.Upstreams)
	}
}

// lastGood shows what a source does that keeps, of each object, the last version without problems: it
// offers that one in the place of a version that has some. Upstreams come first: a policy may have
// problems only because its upstream is refused, and never the other way round.
type lastGood map[policy.ID]*policy.Object

func (good lastGood) compile(objects []*policy.Object) (*policy.Set, []policy.Result) {
	set, first := policy.Compile(objects, policy.BuiltinDefaults())
	offered, results := slices.Clone(objects), first
	for _, kind := range []string{policy.KindUpstream, policy.KindPolicy} {
		for i, r := range results {
			if old := good[r.Object.ID]; r.Object.Kind == kind && len(r.Diagnostics) > 0 && old != nil {
				offered[i] = old
			}
		}
		set, results = policy.Compile(offered, policy.BuiltinDefaults())
	}
	for _, r := range results {
		if len(r.Diagnostics) == 0 {
			good[r.Object.ID] = r.Object
		}
	}
	return set, first
}

// An object with an error keeps its last good generation in force, and holds up no other.
func TestLastGoodGeneration(t *testing.T) {
	good := lastGood{}
	timeouts := func(set *policy.Set) (all []string) {
		for u, r := range set.Routes() {
			all = append(all, fmt.Sprintf("%s %s", u.Name, r.Timeout))
		}
		return all
	}
	target := func(name string) string { return `"targetRefs":[{"kind":"Upstream","name":"` + name + `"}]` }
	a, b := clusterObject(policy.KindUpstream, "a", 1, clusterEndpoints), clusterObject(policy.KindUpstream, "b", 1, clusterEndpoints)
	for _, step := range []struct {
		what    string
		objects []*policy.Object
		want    []string
	}{
		{"all are right", []*policy.Object{
			a, b, clusterObject(policy.KindPolicy, "a", 1, `{"timeout":"1s",`+target("a")+`}`), clusterObject(policy.KindPolicy, "b", 1, `{"timeout":"1s",`+target("b")+`}`),
		}, []string{"a 1s", "b 1s"}},
		{"one is wrong, another is changed", []*policy.Object{
			a, b, clusterObject(policy.KindPolicy, "a", 2, `{"timeout":"2",`+target("a")+`}`), clusterObject(policy.KindPolicy, "b", 2, `{"timeout":"2s",`+target("b")+`}`),
		}, []string{"a 1s", "b 2s"}},
		{"an upstream is wrong, and its policy is changed", []*policy.Object{
			clusterObject(policy.KindUpstream, "a", 2, `{"endpoints":[]}`), b, clusterObject(policy.KindPolicy, "a", 3, `{"timeout":"3s",`+target("a")+`}`),
		}, []string{"a 3s", "b 10s"}},
	} {
		set, results := good.compile(step.objects)
		if diff := cmp.Diff(step.want, timeouts(set)); diff != "" {
			t.Errorf("%s: timeouts differ (-want +got):\n%s\n%s", step.what, diff, resultsText(results))
		}
	}
	if r := good[policy.ID{Kind: policy.KindPolicy, Namespace: "shop", Name: "a"}]; r.Generation != 3 {
		t.Errorf("the last good generation of policy a is %d, want 3", r.Generation)
	}
}
