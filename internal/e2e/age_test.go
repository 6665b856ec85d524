package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"breakwater.dev/internal/redistest"
)

// oldAge is how old connections become in the tests of their age.
const oldAge = 3 * time.Second

// aging are two replicas whose connections become old, with proxies that may use both. The second one starts later.
type aging struct {
	store         *redistest.Server
	first, second *operated
	proxies       []*replicas // each is a proxy, with the first replica
}

// newAging starts the first replica and the proxies.
func newAging(t *testing.T, proxies int, policyText string) *aging {
	t.Helper()
	a := &aging{store: redistest.Start(t, redistest.Redis)}
	a.first, a.second = prepareOperated(t, ownIP(t), policyText), prepareOperated(t, ownIP(t), policyText)
	a.start(t, a.first)
	for i := range proxies {
		ip := ownIP(t)
		p := &mesh{ip: ip, caller: newCaller(t, ip+":10000")}
		p.runEnvoy(t, p.bootstrap(t, "--node-id", fmt.Sprint("shop-", i+1), "--xds", a.first.ip+":18000,"+a.second.ip+":18000"))
		a.proxies = append(a.proxies, &replicas{mesh: p})
	}
	return a
}

func (a *aging) start(t *testing.T, o *operated) {
	t.Helper()
	o.startControl(t, "--admin-token-file", o.tokenFile, "--store", "redis://"+a.store.Addr, "--proxy-connection-age", oldAge.String())
}

// asked adds up what the proxies asked in vain, and stat their counters whose names match an expression.
func (a *aging) asked(t *testing.T) (sum asked) {
	t.Helper()
	for _, p := range a.proxies {
		one := p.asked(t)
		sum.late, sum.failed = sum.late+one.late, sum.failed+one.failed
	}
	return sum
}

func (a *aging) stat(t *testing.T, expression string) (sum int) {
	t.Helper()
	for _, p := range a.proxies {
		sum += p.stat(t, expression)
	}
	return sum
}

// spreads waits until both replicas have proxies, get logs, and decide on calls.
func (a *aging) spreads(t *testing.T) {
	t.Helper()
	for _, series := range []string{"breakwater_xds_nodes", "breakwater_feed_streams", `breakwater_extproc_decisions_total{decision="admitted"}`} {
		for _, o := range []*operated{a.first, a.second} {
			eventually(t, series+" at "+o.ip, func() error {
				n, err := o.tryMetric(series)
				if err == nil && n == 0 {
					err = errors.New("there are none")
				}
				return err
			})
		}
	}
}

// TestOldConnectionsSpreadProxies shows that proxies spread to a replica that starts later, and that no call and no decision is
// lost when connections become old all the time, in both data paths and in half-open.
func TestOldConnectionsSpreadProxies(t *testing.T) {
	t.Parallel()
	good, probed := newUpstream(t, ownIP(t)), newUpstream(t, ownIP(t))
	const rejected = http.StatusNonAuthoritativeInfo // no service has it
	a := newAging(t, 3, service("asks", good.address)+guard("asks")+
		service("logs", good.address)+adaptive("logs")+
		service("probed", probed.address)+adaptive("probed", "timeout: 1s", fmt.Sprintf("fallback: {response: {status: %d}}", rejected),
		"breaker: {consecutiveFailures: 3, waitDurationInOpenState: 1s, successThreshold: 200000, maxWaitDurationInHalfOpenState: 24h}"))
	probed.behave(answer(http.StatusInternalServerError))
	eventually(t, "the breaker trips", func() error {
		_, err := a.proxies[0].get(t.Context(), "probed", "/")
		return errors.Join(err, a.first.inState(t, "probed", "open"))
	})
	probed.behave(answer(http.StatusOK))
	a.first.state(t, "probed", "half_open")

	var loads []*load
	for _, p := range a.proxies {
		ok := func(r reply) bool { return r.status == http.StatusOK }
		loads = append(loads, p.loadOf(t, "asks", 1, ok), p.loadOf(t, "logs", 1, ok),
			p.loadOf(t, "probed", 1, func(r reply) bool { return ok(r) || r.status == rejected }))
	}
	a.start(t, a.second)
	a.spreads(t)

	was, ejected, aged, probes := a.asked(t), a.stat(t, ejections), a.stat(t, notices), probed.calls.Load()
	unreachable := 0
	holds(t, "the breaker stays half-open, and the replicas reach each other", 10*oldAge, func() error {
		for _, o := range []*operated{a.first, a.second} {
			silent, err := o.tryMetric("breakwater_replicas_unreachable")
			unreachable += int(silent)
			if err = errors.Join(err, o.inState(t, "probed", "half_open")); err != nil {
				return err
			}
		}
		return nil
	})
	a.spreads(t)
	now := a.asked(t)
	if now.failed > was.failed {
		t.Errorf("%d calls were not decided because their stream failed", now.failed-was.failed)
	}
	var calls int64
	for _, l := range loads {
		calls += l.calls.Load()
		l.clean(t)
	}
	if late := now.late - was.late; int64(late)*1000 > calls {
		t.Errorf("%d of %d calls had no answer in time", late, calls)
	}
	if n := a.stat(t, ejections) - ejected; n > 0 {
		t.Errorf("proxies ejected a replica %d times", n)
	}
	if unreachable > 0 {
		t.Errorf("a replica was unreachable for the other, in %d looks", unreachable)
	}
	if n := a.stat(t, notices) - aged; n < 5*len(a.proxies) {
		t.Errorf("%d connections of %d proxies became old, want five of each", n, len(a.proxies))
	}
	if n := probed.calls.Load() - probes; n < 100 {
		t.Errorf("the service got %d probes, want a hundred", n)
	}
	for _, o := range []*operated{a.first, a.second} {
		if log := o.control.output(); strings.Contains(log, "cannot be reached") {
			t.Errorf("a replica took the end of a stream for a failure:\n%s", tail(log, 10))
		}
	}
	t.Logf("%d calls, %d connections became old, %d probes", calls, a.stat(t, notices)-aged, probed.calls.Load()-probes)
}

// Counters of the clusters of replicas: how often one was ejected, and how many connections were to have no more streams.
const (
	ejections = "outlier_detection.ejections_enforced_total"
	notices   = "cluster.*breakwater.*upstream_cx_close_notify"
)
