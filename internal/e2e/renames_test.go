package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"breakwater.dev/xds"
)

// TestRenamesUnderLoad renames upstreams again and again under load. No call is lost, even if it is on its way to the upstream
// with the old name.
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

// TestRenamesOfConnections renames an upstream that speaks TCP. Established connections stay, and new ones can be made after each
// rename.
func TestRenamesOfConnections(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	db := newEchoServer(t, ip, echoes)
	named := func(i int) string {
		return service(fmt.Sprintf("db-%d", i), db.address, "protocol: TCP", "port: 15432")
	}
	m := newMesh(t, ip, named(0))
	revision := m.revision(t, "")
	conn, err := dialEcho(ip + ":15432")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i := range 5 {
		m.write(t, "policy.yaml", named(i+1))
		revision = m.revision(t, revision)
		eventually(t, "connections are made", func() error {
			c, err := dialEcho(ip + ":15432")
			if err == nil {
				c.Close()
			}
			return err
		})
		if err := echo(conn); err != nil {
			t.Fatalf("after %d renames the old connection fails: %v", i+1, err)
		}
	}
	holds(t, "the connection outlives the clusters", xds.RouteToHost+time.Second, func() error { return echo(conn) })
	if got := m.metric(t, `breakwater_xds_nacks_total{type="Listener"}`); got != 0 {
		t.Errorf("%v listeners were refused", got)
	}
}

// TestOpenBreakersUnderPolicyChanges changes the fallback, the data path or the scope of an open breaker again and again under
// load. No call passes the breaker, whatever routes the proxy has meanwhile.
func TestOpenBreakersUnderPolicyChanges(t *testing.T) {
	fallbacks := func(path string) [][]string {
		return [][]string{{path}, {path, "fallback: {upstream: $}"}, {path, "fallback: {cached: {}}"}}
	}
	for kind, options := range map[string][][]string{
		"fallbacks, Adaptive":    fallbacks("dataPath: Adaptive"),
		"fallbacks, Inline":      fallbacks("dataPath: Inline"),
		"fallbacks, fail closed": fallbacks("dataPath: Inline\n  failOpen: false"),
		"data paths":             {{"dataPath: Adaptive"}, {"dataPath: Inline"}, {"dataPath: Inline", "failOpen: false"}},
		"scopes":                 {{"scope: Mesh"}, {"scope: Node"}},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			ip := ownIP(t)
			u, backup := newUpstream(t, ip), newUpstream(t, ip)
			backup.behave(answer(http.StatusAccepted))
			policy := func(i int) string {
				name := fmt.Sprint("backup-", i) // a new name each time
				fields := append([]string{"mode: ForcedOpen"}, options[i%len(options)]...)
				return service("payments", u.address) + service(name, backup.address) +
					strings.ReplaceAll(policyFor("payments", fields...), "$", name)
			}
			m := newMesh(t, ip, policy(0))
			m.state(t, "payments", "open")
			l := m.loadThatGets(t, 4, func(r reply) bool {
				return r.status == http.StatusServiceUnavailable || r.status == http.StatusAccepted || r.status == http.StatusOK
			})
			revision := m.revision(t, "")
			for i := range 9 {
				m.write(t, "policy.yaml", policy(i+1))
				revision = m.revision(t, revision)
				l.more(t, 100)
			}
			l.clean(t)
			if got, unanswered := u.calls.Load(), m.unanswered(t); got > int64(unanswered) {
				t.Errorf("%d calls passed the open breaker, and the control plane did not answer in time for %d", got, unanswered)
			}
		})
	}
}
