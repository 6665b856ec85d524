package policy

import (
	"fmt"
	"slices"

	"breakwater.dev/policy/internal/yamlwalk"
	"breakwater.dev/wire"
)

// Admits reports whether proxies of a workload may call the upstream.
func (u *Upstream) Admits(workload string) bool {
	return len(u.Callers) == 0 || slices.Contains(u.Callers, workload)
}

// callers reads the workloads that may call an upstream. An empty list is refused: it would mean that no
// workload may, but its author has more likely forgotten to fill it in.
func (u *upstreamDoc) callers(v yamlwalk.Value) {
	count := v.Each(func(v yamlwalk.Value) {
		var workload string
		yamlwalk.Text(&workload, fmt.Sprintf("a workload, as node.cluster of its proxies says it: printable, at most %d bytes", wire.MaxNodeID), "bad-caller", wire.ValidNodeID)(v)
		switch {
		case workload == "":
		case slices.Contains(u.Callers, workload):
			v.FailAs(workload+", again", "another workload", "duplicate-caller")
		default:
			u.Callers = append(u.Callers, workload)
		}
	})
	if count == 0 {
		v.FailAs("an empty list", "at least one workload, or left out for every workload", "missing-field")
	}
	slices.Sort(u.Callers)
}
