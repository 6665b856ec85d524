package e2e

import (
	"fmt"
	"testing"
)

// TestRenamesUnderLoad gives upstreams other names again and again while they are called: no
// call is lost, be it on its way to the one of the old name.
func TestRenamesUnderLoad(t *testing.T) {
	const renames = 20
	for kind, policy := range map[string]func(path, address, name string) string{
		"upstream": func(path, address, name string) string {
			return service(name, address, "hosts: [payments]") + policyFor(name, "dataPath: "+path)
		},
		"fallback": func(path, address, name string) string {
			return service("payments", address) + service(name, address) +
				policyFor("payments", "dataPath: "+path, "mode: ForcedOpen", "fallback: {upstream: "+name+"}")
		},
	} {
		t.Run(kind, func(t *testing.T) {
			inBoth(t, func(t *testing.T, path string) {
				ip := ownIP(t)
				u := newUpstream(t, ip)
				m := newMesh(t, ip, policy(path, u.address, "name-0"))
				m.state(t, map[string]string{"upstream": "name-0", "fallback": "payments"}[kind], map[string]string{"upstream": "closed", "fallback": "open"}[kind])
				l := m.load(t, 8)
				revision := m.revision(t, "")
				for i := range renames {
					m.write(t, "policy.yaml", policy(path, u.address, fmt.Sprintf("name-%d", i+1)))
					revision = m.revision(t, revision)
					l.more(t, 200)
				}
				l.clean(t)
				t.Logf("%d calls, %d renames", l.calls.Load(), renames)
			})
		})
	}
}
