package e2e

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestReasonOfAFailedHandshake shows that the log has an upstream whose certificate a proxy does not trust, and the reason.
func TestReasonOfAFailedHandshake(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	ca, other := newAuthority(t), newAuthority(t)
	ca.Issue(t, "server", ip)
	pair, err := tls.LoadX509KeyPair(ca.Path("server.pem"), ca.Path("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(answer(http.StatusOK))
	server.Listener.Close()
	server.Listener = listen(t, ip)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.Config.ErrorLog = noLog
	server.StartTLS()
	t.Cleanup(server.Close)
	var documents string
	for _, p := range paths {
		name := "payments" + p.suffix
		documents += service(name, server.Listener.Addr().String(), "tls: {sni: "+ip+", caFile: "+other.Path("ca.pem")+"}") +
			policyFor(name, "dataPath: "+p.dataPath)
	}
	m := newMesh(t, ip, documents)
	for _, p := range paths {
		name := "payments" + p.suffix
		for range 5 {
			m.must(t, name, http.StatusServiceUnavailable)
		}
		eventually(t, "the reason is logged", func() error {
			for _, line := range strings.Split(m.control.output(), "\n") {
				if strings.Contains(line, "service="+name+" ") && strings.Contains(line, "CERTIFICATE_VERIFY_FAILED") {
					return nil
				}
			}
			return errors.New("the log does not have it")
		})
	}
	if n := strings.Count(m.control.output(), "CERTIFICATE_VERIFY_FAILED"); n != len(paths) {
		t.Errorf("the log has %d lines for %d breakers within a minute, want one for each", n, len(paths))
	}
}
