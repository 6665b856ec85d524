package e2e

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"breakwater.dev/internal/testca"
)

// authority signs the certificates of a test.
type authority struct{ *testca.Authority }

func newAuthority(t *testing.T) authority {
	t.Helper()
	return authority{testca.New(t)}
}

// TestTLS shows that proxies and the control plane identify each other by certificates, that a proxy without a certificate is
// refused, and that the control plane's certificate can be replaced while it runs.
func TestTLS(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	ca := newAuthority(t)
	ca.Issue(t, "server", ip)
	ca.Issue(t, "proxy", ip)
	u := newUpstream(t, ip)
	m := prepareMesh(t, ip, service("payments", u.address)+guard("payments", "failOpen: false"))
	m.startControl(t, "--tls-cert", ca.Path("server.pem"), "--tls-key", ca.Path("server.key"), "--tls-client-ca", ca.Path("ca.pem"))

	m.runEnvoy(t, m.bootstrap(t, "--tls-ca", ca.Path("ca.pem"), "--tls-cert", ca.Path("proxy.pem"), "--tls-key", ca.Path("proxy.key")))
	m.must(t, "payments", http.StatusOK) // without the control plane, the call would be rejected
	eventually(t, "the call is counted", func() error {
		if got := m.breaker(t, "payments").Counts.Successes; got != 1 {
			return fmt.Errorf("successes = %d, want 1", got)
		}
		return nil
	})

	pair, err := tls.LoadX509KeyPair(ca.Path("proxy.pem"), ca.Path("proxy.key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.handshake(ip + ":18000"); err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("a proxy without a certificate: %v, want an error that says that one is required", err)
	}
	before, err := ca.handshake(ip+":18000", pair)
	if err != nil {
		t.Fatal(err)
	}
	ca.Issue(t, "server", ip)
	eventually(t, "the new certificate is in use", func() error {
		now, err := ca.handshake(ip+":18000", pair)
		if err == nil && now.Cmp(before) == 0 {
			err = errors.New("the old one is still in use")
		}
		return err
	})
	m.must(t, "payments", http.StatusOK)
}
