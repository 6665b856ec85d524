package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// startProxy starts another Envoy that connects to the control plane.
func (m *mesh) startProxy(t *testing.T, id string) *caller {
	t.Helper()
	ip := ownIP(t)
	p := &mesh{ip: ip, caller: newCaller(t, ip+":10000")}
	p.runEnvoy(t, m.bootstrap(t, "--node-id", id, "--listen", p.egress, "--admin", ip+":9901"))
	return p.caller
}

// partial is a handler that answers 500 at the path /fail, and 200 at all other paths.
func partial(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/fail" {
		answer(http.StatusInternalServerError)(w, r)
		return
	}
	answer(http.StatusOK)(w, r)
}

// failing makes n calls that fail.
func (c *caller) failing(t *testing.T, n int) {
	t.Helper()
	for range n {
		if r, err := c.get(t.Context(), "payments", "/fail"); err != nil || r.status != http.StatusInternalServerError {
			t.Fatalf("got %d %q, %v, want the upstream's 500", r.status, r.body, err)
		}
	}
}

// scoped returns a policy with a scope, whose breaker opens at three failures in a row.
func scoped(scope, address string) string {
	return service("payments", address) + guard("payments", "scope: "+scope,
		"breaker: {consecutiveFailures: 3, failureRateThreshold: 0%, waitDurationInOpenState: 1h}")
}

// TestScopeNode shows that the failures that one proxy sees open that proxy's breaker only.
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
	if got := int(u.calls.Load()) - m.passed; got != 2+3+20 {
		t.Errorf("%d calls reached the upstream, want 25; %d others passed without a decision", got, m.passed)
	}
	for key, want := range map[string]string{"payments@shop-1": "open", "payments@shop%2F2%20@zone%20b": "closed"} {
		if got := m.breaker(t, key).State; got != want {
			t.Errorf("breaker %s is %s, want %s", key, got, want)
		}
	}
	if got := m.metric(t, `circuit_breaker_requests_total{route="",service="payments"}`); got < 45 || got > float64(45+m.passed) {
		t.Errorf("%v requests of all proxies together, want 45 and at most the %d that passed without a decision", got, m.passed)
	}
	m.settled(t, "payments@shop%2F2%20@zone%20b")
	other.failing(t, 3)
	other.must(t, "payments", http.StatusServiceUnavailable)
}

// TestScopeNodeForced shows that an operator opens all proxies' breakers at once and lets a single proxy through, and that no
// proxy is rejected because of the breaker that they share when the time is over.
func TestScopeNodeForced(t *testing.T) {
	eachPath(t, func(t *testing.T, dataPath string) {
		ip := ownIP(t)
		u := newUpstream(t, ip)
		o := newOperated(t, ip, service("payments", u.address)+policyFor("payments", "scope: Node", dataPath,
			"breaker: {consecutiveFailures: 3, failureRateThreshold: 0%, waitDurationInOpenState: 100ms, permittedNumberOfCallsInHalfOpenState: 2, successThreshold: 2, maxWaitDurationInHalfOpenState: 300ms}"))
		other := o.startProxy(t, "shop-2")
		for key, c := range map[string]*caller{"payments@shop-1": o.caller, "payments@shop-2": other} {
			c.passes(t, "payments")
			eventually(t, "the proxy has a breaker", func() error {
				_, err := o.tryRequests(key)
				return err
			})
		}
		o.force(t, "force", "payments", "open", "--for", "1h")
		o.rejects(t, "payments")
		other.rejects(t, "payments")
		o.force(t, "reset", "payments@shop-1")
		o.passes(t, "payments")
		other.must(t, "payments", http.StatusServiceUnavailable)
		o.must(t, "payments", http.StatusOK)
		o.force(t, "force", "payments", "open", "--for", "100ms")
		eventually(t, "all breakers are closed", func() error {
			for _, c := range []*caller{o.caller, other} {
				if _, err := c.get(t.Context(), "payments", "/"); err != nil {
					return err
				}
			}
			var wrong []error
			for _, key := range []string{"payments@shop-1", "payments@shop-2", "payments"} {
				wrong = append(wrong, o.inState(t, key, "closed"))
			}
			return errors.Join(wrong...)
		})
		l := o.load(t, 2)
		holds(t, "calls pass", time.Second, func() error { return o.inState(t, "payments", "closed") })
		l.clean(t)
	})
}

// TestScopeMesh shows that the failures of all proxies open one breaker, which is in force in all of them.
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
	if got, passed := int(u.calls.Load()), m.passed+other.passed; got-passed != 3 {
		t.Errorf("%d calls reached the upstream, want 3; %d passed without a decision", got, passed)
	}
}

// TestScopeUnderTraffic changes the scope under load. No request fails.
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
	eventually(t, "every worker sends the proxy's id", func() error {
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
			err = fmt.Errorf("%d of 20 calls did", after-before)
		}
		return err
	})
	m.settled(t, "payments@shop-1")
	u.behave(partial)
	m.failing(t, 3)
	m.must(t, "payments", http.StatusServiceUnavailable)
	if got := m.breaker(t, "payments@shop-1").State; got != "open" {
		t.Errorf("the proxy's own breaker is %s, want open", got)
	}
}

// tryRequests returns the number of requests of a breaker, or an error if the breaker does not exist.
func (m *mesh) tryRequests(key string) (int, error) {
	body, err := fetch("http://" + m.ip + ":18080/breakers/" + key)
	if err != nil {
		return 0, err
	}
	var s breakerStatus
	err = json.Unmarshal([]byte(body), &s)
	return s.Counts.Requests, err
}
