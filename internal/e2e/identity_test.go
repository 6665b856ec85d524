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

// issueTo makes a certificate of a proxy whose only name is a URI, as NAME.pem and NAME.key.
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

// TestNodeIdentity shows that a proxy with the right certificate can do everything, in both data paths and in scope Node, and
// after a restart of the control plane. A proxy with the certificate of another workload gets nothing, and is in the log.
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
				// Calls get the fallback while the control plane does not answer.
				if r, err := m.get(t.Context(), name, "/"); err != nil || r.status != http.StatusOK {
					return errors.Join(err, fmt.Errorf("got %d", r.status))
				}
				if m.breaker(t, name).Counts.Successes == 0 {
					return errors.New("no success is counted")
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
			return errors.New("no stream was refused")
		}
		return nil
	})
	eventually(t, "the log has the refusal", func() error {
		if log := m.control.output(); !strings.Contains(log, "service=xds reason=identity") {
			return errors.New(tail(log, 5))
		}
		return nil
	})
	holds(t, "the thief's proxy serves no call", 500*time.Millisecond, func() error {
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
