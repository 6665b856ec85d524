package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestOverflowIsNoFailure shows that calls that Envoy's own limits reject are ignored.
func TestOverflowIsNoFailure(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address)+guard("payments", "breaker: {consecutiveFailures: 1}",
		"connectionLimits: {maxConnections: 1, maxPendingRequests: 1, maxRequests: 1}"))
	open := make(chan struct{})
	u.behave(func(w http.ResponseWriter, r *http.Request) {
		<-open
		answer(http.StatusOK)(w, r)
	})
	const callers = 6
	statuses := make(chan int, callers)
	for range callers {
		go func() {
			r, err := m.get(t.Context(), "payments", "/")
			if err != nil {
				t.Error(err)
			}
			statuses <- r.status
		}()
	}
	// The upstream does not answer yet, so the first response is from the proxy.
	overflowed := 0
	for i := range callers {
		if <-statuses == http.StatusServiceUnavailable {
			overflowed++
		}
		if i == 0 {
			close(open)
		}
	}
	if overflowed == 0 {
		t.Fatal("no call overflowed, so the test shows nothing")
	}
	s := m.breaker(t, "payments")
	if s.State != "closed" || s.Counts.Failures != 0 || s.Counts.Ignored != overflowed {
		t.Errorf("the breaker is %+v, want closed without failures and with %d ignored calls", s, overflowed)
	}
}

// TestFallback shows that rejected callers get the response of the policy, and that a route with a policy has its own breaker.
func TestFallback(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address, "hosts: [payments, pay.example.com]",
		"routes:", "- {name: charge, match: {pathPrefix: /charge}}")+
		guard("payments", quick)+`---
apiVersion: breakwater.dev/v1alpha1
kind: BreakerPolicy
metadata: {name: charge}
spec:
  targetRefs:
  - {kind: Upstream, name: payments, sectionName: charge}
  fallback:
    response: {status: 429, contentType: application/json, body: '{"queued":true}', headers: {x-queue: later}}
`)
	u.behave(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/charge") {
			answer(http.StatusInternalServerError)(w, r)
		}
	})
	if r, err := m.get(t.Context(), "pay.example.com:8080", "/charge/7"); err != nil || r.status != 500 {
		t.Fatalf("got %+v, %v, want the upstream's 500", r, err)
	}
	r, err := m.get(t.Context(), "payments", "/charge?id=7")
	if err != nil {
		t.Fatal(err)
	}
	if r.status != 429 || r.body != `{"queued":true}` || r.header.Get("content-type") != "application/json" ||
		r.header.Get("x-queue") != "later" || r.header.Get("retry-after") == "" {
		t.Errorf("a rejected caller got %+v, want the fallback of the policy", r)
	}
	m.must(t, "payments", http.StatusOK) // the rest of the upstream has a breaker of its own
	if got := m.breaker(t, "payments/charge").Counts.Rejected; got != 1 {
		t.Errorf("rejected = %d, want 1", got)
	}
	if r := m.must(t, "nobody", http.StatusNotFound); !strings.Contains(r.body, "no upstream") {
		t.Errorf("an unknown host got %q, want an explanation", r.body)
	}
}

// TestStateOfTheWorld adds, changes and removes upstreams under load, with a proxy that uses the state-of-the-world variant of
// xDS. No call fails.
func TestStateOfTheWorld(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u, v := newUpstream(t, ip), newUpstream(t, ip)
	m := prepareMesh(t, ip, service("payments", u.address)+guard("payments"))
	m.startControl(t)
	m.startEnvoy(t, variants["state of the world"])
	m.must(t, "payments", http.StatusOK)
	l := m.load(t, 4)
	for _, limit := range []string{"77", "78"} {
		revision := m.revision(t, "")
		m.write(t, "policy.yaml", service("payments", u.address)+guard("payments", "connectionLimits: {maxRequests: "+limit+"}")+service("stock", v.address))
		m.revision(t, revision)
		eventually(t, "the proxy has the new limit", func() error {
			clusters, err := fetch("http://" + m.ip + ":9901/clusters")
			if err == nil && !strings.Contains(clusters, "payments::default_priority::max_requests::"+limit) {
				err = fmt.Errorf("it has another limit")
			}
			return err
		})
	}
	m.must(t, "stock", http.StatusOK)
	revision := m.revision(t, "")
	m.write(t, "policy.yaml", service("payments", u.address)+guard("payments"))
	m.revision(t, revision)
	eventually(t, "the proxy does not have the removed upstream", func() error {
		clusters, err := fetch("http://" + m.ip + ":9901/clusters")
		if err == nil && strings.Contains(clusters, "stock::") {
			err = fmt.Errorf("it still has it")
		}
		return err
	})
	m.must(t, "stock", http.StatusNotFound)
	l.clean(t)
}

// TestHealthPages shows the pages for health checks while a breaker is open.
func TestHealthPages(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address)+guard("payments", "breaker: {consecutiveFailures: 1}"))
	m.page(t, "/health/live")
	m.page(t, "/health/dependencies")
	trip(t, m, u)
	for _, path := range []string{"/health/dependencies", "/health/dependencies?for=shop"} {
		if _, err := fetch("http://" + m.ip + ":18080" + path); err == nil || !strings.Contains(err.Error(), "status 503") {
			t.Errorf("%s while the only breaker is open: %v, want status 503", path, err)
		}
	}
	if page := m.page(t, "/health/services"); !strings.Contains(page, `"unhealthy"`) {
		t.Errorf("/health/services:\n%s", page)
	}
	m.page(t, "/health/ready") // the control plane itself can serve
	for series, want := range map[string]float64{
		`circuit_breaker_state{route="",service="payments"}`:          2,
		`circuit_breaker_failures_total{route="",service="payments"}`: 1,
	} {
		if got := m.metric(t, series); got != want {
			t.Errorf("%s = %v, want %v", series, got, want)
		}
	}
}

// TestNodeUpstreams shows that a proxy that lists its upstreams gets only these, and no response when other upstreams change.
// Only these upstreams affect the health of its workload.
func TestNodeUpstreams(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	policies := service("payments", u.address) + guard("payments", quick) + service("stock", u.address)
	m := prepareMesh(t, ip, policies+guard("stock"))
	m.startControl(t)
	m.runEnvoy(t, m.bootstrap(t, "--upstreams", "stock,orders"))
	m.must(t, "stock", http.StatusOK)
	m.must(t, "payments", http.StatusNotFound)

	pushes, revision := m.pushes(t), m.revision(t, "")
	m.write(t, "policy.yaml", strings.Replace(policies, "spec:", "spec:\n  loadBalancing: {policy: Random}", 1)+guard("stock"))
	revision = m.revision(t, revision)
	holds(t, "the proxy gets no response for another upstream", 500*time.Millisecond, func() error {
		if got := m.pushes(t); got != pushes {
			return fmt.Errorf("it got %v responses", got-pushes)
		}
		return nil
	})
	m.write(t, "policy.yaml", policies+guard("stock", "breaker: {consecutiveFailures: 1}"))
	m.revision(t, revision)
	if page := m.page(t, "/health/dependencies?for=shop"); !strings.Contains(page, `"total": 1,`) {
		t.Errorf("shop calls one upstream with a breaker, and its health is\n%s", page)
	}
	u.behave(answer(http.StatusInternalServerError))
	m.must(t, "stock", http.StatusInternalServerError)
	if _, err := fetch("http://" + ip + ":18080/health/dependencies?for=shop"); err == nil || !strings.Contains(err.Error(), "status 503") {
		t.Errorf("the only breaker that shop depends on is open, and its health is %v", err)
	}
}
