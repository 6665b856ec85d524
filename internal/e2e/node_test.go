package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
)

// startProxy runs one more Envoy of the same control plane.
func (m *mesh) startProxy(t *testing.T, id string) *caller {
	t.Helper()
	ip := ownIP(t)
	p := &mesh{ip: ip, caller: newCaller(t, ip+":10000")}
	p.runEnvoy(t, m.bootstrap(t, "--node-id", id, "--listen", p.egress, "--admin", ip+":9901"))
	return p.caller
}

// partial answers 500 under /fail, which one proxy's callers ask for, and 200 elsewhere.
func partial(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/fail" {
		answer(http.StatusInternalServerError)(w, r)
		return
	}
	answer(http.StatusOK)(w, r)
}

// failing sends calls that the upstream fails.
func (c *caller) failing(t *testing.T, n int) {
	t.Helper()
	for range n {
		if r, err := c.get(t.Context(), "payments", "/fail"); err != nil || r.status != http.StatusInternalServerError {
			t.Fatalf("got %d %q, %v, want the upstream's 500", r.status, r.body, err)
		}
	}
}

// scoped is a policy of three failures in a row.
func scoped(scope, address string) string {
	return service("payments", address) + guard("payments", "scope: "+scope,
		"breaker: {consecutiveFailures: 3, failureRateThreshold: 0%, waitDurationInOpenState: 1h}")
}

// TestScopeNode: the failures that one proxy sees open its own breaker, and nobody else's.
func TestScopeNode(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	u.behave(partial)
	m := newMesh(t, ip, scoped("Node", u.address))
	other := m.startProxy(t, "shop/2 @zone b")
	other.failing(t, 2)
	m.failing(t, 3)
	for range 20 {
		m.must(t, "payments", http.StatusServiceUnavailable)
		other.must(t, "payments", http.StatusOK)
	}
	if got := u.calls.Load(); got != 2+3+20 {
		t.Errorf("%d calls reached the upstream, want 25", got)
	}
	for key, want := range map[string]string{"payments@shop-1": "open", "payments@shop%2F2%20@zone%20b": "closed"} {
		if got := m.breaker(t, key).State; got != want {
			t.Errorf("breaker %s is %s, want %s", key, got, want)
		}
	}
	if got := m.metric(t, `circuit_breaker_requests_total{route="",service="payments"}`); got != 45 {
		t.Errorf("%v requests of all proxies together, want 45", got)
	}
	other.failing(t, 3)
	other.must(t, "payments", http.StatusServiceUnavailable)
}

// TestScopeMesh: what one proxy sees, all obey.
func TestScopeMesh(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	u.behave(partial)
	m := newMesh(t, ip, scoped("Mesh", u.address))
	other := m.startProxy(t, "shop-2")
	other.failing(t, 2)
	m.failing(t, 1)
	m.must(t, "payments", http.StatusServiceUnavailable)
	other.must(t, "payments", http.StatusServiceUnavailable)
	if got := u.calls.Load(); got != 3 {
		t.Errorf("%d calls reached the upstream, want 3", got)
	}
}

// TestScopeUnderTraffic changes the scope there and back, without one failed request.
func TestScopeUnderTraffic(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, scoped("Mesh", u.address))
	revision := m.revision(t, "")
	l := m.load(t, 8)
	for _, scope := range []string{"Node", "Mesh", "Node"} {
		m.write(t, "policy.yaml", scoped(scope, u.address))
		revision = m.revision(t, revision)
		l.more(t, 200)
	}
	l.clean(t)
	eventually(t, "every worker says who it is", func() error {
		before, err := m.tryRequests("payments@shop-1")
		if err != nil {
			return err
		}
		for range 20 {
			if _, err := m.once(t, "payments"); err != nil {
				return err
			}
		}
		after, err := m.tryRequests("payments@shop-1")
		if err == nil && after != before+20 {
			err = fmt.Errorf("%d of 20 calls", after-before)
		}
		return err
	})
	u.behave(partial)
	m.failing(t, 3)
	m.must(t, "payments", http.StatusServiceUnavailable)
	if got := m.breaker(t, "payments@shop-1").State; got != "open" {
		t.Errorf("the proxy's own breaker is %s, want open", got)
	}
}

// tryRequests is how many calls asked the breaker; an error when it does not exist.
func (m *mesh) tryRequests(key string) (int, error) {
	body, err := fetch("http://" + m.ip + ":18080/breakers/" + key)
	if err != nil {
		return 0, err
	}
	var s breakerStatus
	err = json.Unmarshal([]byte(body), &s)
	return s.Counts.Requests, err
}
