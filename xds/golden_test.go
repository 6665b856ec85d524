package xds

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"breakwater.dev/internal/golden"
	"breakwater.dev/policy"
)

// Each case is a policy and the resources that it becomes, of the types that its file "show" names. A real Envoy has to take
// all of them, shown or not.
func TestTranslateGolden(t *testing.T) {
	types := map[string]string{
		"clusters": ClusterType, "endpoints": EndpointType, "secrets": SecretType, "listener": ListenerType, "table": RouteType, "routes": VirtualHostType,
	}
	unseen := slices.Collect(maps.Values(types))
	golden.Run(t, "testdata/*.txtar", func(t *testing.T, in []txtar.File) map[string]string {
		var show []string
		var files []policy.File
		for _, f := range in {
			if f.Name == "show" {
				show = strings.Fields(string(f.Data))
				continue
			}
			files = append(files, policy.File{Name: f.Name, Data: f.Data})
		}
		set, problems := policy.Parse(files, policy.BuiltinDefaults())
		if set == nil {
			t.Fatal(problems)
		}
		validateSet(t, set)
		rs := translate(t, set)
		got := map[string]string{}
		for _, name := range show {
			url, known := types[name]
			if !known {
				t.Fatalf("cannot show %q", name)
			}
			unseen = slices.DeleteFunc(unseen, func(t string) bool { return t == url })
			got[name+".yaml"] = string(render(t, Resources{url: rs[url]}, "yaml"))
		}
		return got
	})
	if len(unseen) > 0 {
		t.Errorf("no case shows resources of type %s", unseen)
	}
}
