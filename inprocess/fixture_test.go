package inprocess

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"breakwater.dev/breaker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// basic has an upstream with two routes, one of which has its own breaker. The breakers
// open at the second failure in a row, and one successful probe closes them after 30 s.
const basic = `apiVersion: breakwater.dev/v1alpha1
kind: Upstream
metadata: {name: payments}
spec:
  endpoints: [{address: 10.0.0.7, port: 80}]
  routes:
  - {name: charge, match: {pathPrefix: /charge}}
  - {name: refund, match: {pathPrefix: /refund}}
---
apiVersion: breakwater.dev/v1alpha1
kind: Upstream
metadata: {name: unguarded}
spec: {endpoints: [{address: 10.0.0.8, port: 80}]}
---
apiVersion: breakwater.dev/v1alpha1
kind: BreakerPolicy
metadata: {name: payments}
spec:
  targetRefs: [{kind: Upstream, name: payments}]
  mode: Enforce
  scope: Mesh
  timeout: 10s
  breaker: {consecutiveFailures: 2, failureRateThreshold: 0%, waitDurationInOpenState: 30s, successThreshold: 1}
---
apiVersion: breakwater.dev/v1alpha1
kind: BreakerPolicy
metadata: {name: charge}
spec:
  targetRefs: [{kind: Upstream, name: payments, sectionName: charge}]
  timeout: 0s
`

// changed returns basic with the first text of each pair replaced by the second.
func changed(t *testing.T, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(basic, pairs[i]) {
			t.Fatalf("the policy has no %q", pairs[i])
		}
	}
	return strings.NewReplacer(pairs...).Replace(basic)
}

// opened returns a registry of one file, and the file's name.
func opened(t *testing.T, o Options, text string) (*Registry, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.yaml")
	write(t, file, text)
	r, err := Open(o, file)
	if err != nil {
		t.Fatal(err)
	}
	return r, file
}

// write replaces the content of a file at once, so that a reader never gets half of it.
func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

var errBroken = errors.New("broken")

// call makes n calls through a breaker that return err at once, and returns the last result of Do.
func call(r *Registry, name string, n int, err error) (got error) {
	for range n {
		got = breaker.Do(context.Background(), r.Breaker(name), func(context.Context) error { return err })
	}
	return got
}

// status returns the status of the breaker with exactly this name.
func status(t *testing.T, r *Registry, name string) breaker.Status {
	t.Helper()
	for _, s := range r.Snapshot() {
		if s.Key.String() == name {
			return s
		}
	}
	t.Fatalf("there is no breaker %s", name)
	return breaker.Status{}
}
