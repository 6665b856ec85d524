package e2e

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// issueTo makes a proxy's certificate that says one URI and no more, as NAME.pem and NAME.key.
func (a authority) issueTo(t *testing.T, name, uri string) {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	a.Issue(t, name, "", func(c *x509.Certificate) {
		c.Subject.CommonName, c.URIs = "shop-1", []*url.URL{u}
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	})
}

// TestNodeIdentity: an Envoy whose certificate says who it is has all that others have, in both
// data paths and in scope Node, also over a restart of the control plane. One with the certificate
// of another workload gets nothing, and is named.
func TestNodeIdentity(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	ca := newAuthority(t)
	ca.Issue(t, "server", ip)
	ca.issueTo(t, "shop", "spiffe://cluster.local/ns/shop/sa/shop")
	ca.issueTo(t, "thief", "spiffe://cluster.local/ns/shop/sa/thief")
	u := newUpstream(t, ip)
	m := prepareMesh(t, ip, service("payments", u.address)+guard("payments", "failOpen: false")+
		service("own", u.address)+guard("own", "scope: Node")+service("orders", u.address)+adaptive("orders"))
	serve := []string{"--tls-cert", ca.Path("server.pem"), "--tls-key", ca.Path("server.key"), "--tls-client-ca", ca.Path("ca.pem"),
		"--node-identity", "spiffe://{any}/ns/{any}/sa/{workload}"}
	m.startControl(t, serve...)
	as := func(name string) string {
		return m.bootstrap(t, "--upstreams", "payments,own,orders", "--tls-ca", ca.Path("ca.pem"), "--tls-cert", ca.Path(name+".pem"), "--tls-key", ca.Path(name+".key"))
	}
	m.runEnvoy(t, as("shop"))
	counted := func() {
		t.Helper()
		for _, name := range []string{"payments", "own", "orders"} {
			eventually(t, "calls of "+name+" are counted", func() error {
				// Without an answer of the control plane, which may not be there yet, it falls back.
				if r, err := m.get(t.Context(), name, "/"); err != nil || r.status != http.StatusOK {
					return errors.Join(err, fmt.Errorf("got %d", r.status))
				}
				if got := m.breaker(t, name).Counts.Successes; got == 0 {
					return fmt.Errorf("successes = %d", got)
				}
				return nil
			})
		}
	}
	counted()
	m.envoy.kill()
	m.launchEnvoy(t, as("thief"))
	eventually(t, "the thief is refused", func() error {
		if n := m.metric(t, `breakwater_proxies_refused_total{reason="identity",service="xds"}`); n == 0 {
			return fmt.Errorf("refused %v streams", n)
		}
		return nil
	})
	eventually(t, "the log says so", func() error {
		if log := m.control.output(); !strings.Contains(log, "service=xds reason=identity") {
			return errors.New(tail(log, 5))
		}
		return nil
	})
	holds(t, "its proxy serves nothing", 500*time.Millisecond, func() error {
		m.envoy.running(t)
		if r, err := m.get(t.Context(), "payments", "/"); err == nil {
			return fmt.Errorf("got %d %q", r.status, r.body)
		}
		return nil
	})
	m.envoy.kill()
	m.control.kill()
	m.startControl(t, serve...)
	m.runEnvoy(t, as("shop"))
	counted()
}
