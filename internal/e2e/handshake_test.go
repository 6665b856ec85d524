package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestFailedHandshakesAreSeen shows that the log has the peer, the certificate and the reason of a failed handshake, and that
// all failures are counted.
func TestFailedHandshakesAreSeen(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	ca, stranger := newAuthority(t), newAuthority(t)
	ca.Issue(t, "server", ip)
	m := prepareMesh(t, ip, service("payments", newUpstream(t, ip).address))
	m.startControl(t, "--tls-cert", ca.Path("server.pem"), "--tls-key", ca.Path("server.key"), "--tls-client-ca", ca.Path("ca.pem"))
	expired := ca.Pair(t, "client", ip, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	future := ca.Pair(t, "client", ip, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) })
	usage := ca.Pair(t, "client", ip, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	for reason, c := range map[string]struct {
		connect func(from net.Addr) error
		want    string // the rest of the line
	}{
		"no_certificate":      {m.handshakes(ca), ""},
		"unknown_authority":   {m.handshakes(ca, *stranger.Pair(t, "impostor", ip)), `subject="?CN=impostor"? issuer="?CN=ca"? names=` + ip},
		"expired":             {m.handshakes(ca, *expired), `subject="?CN=client"?`},
		"not_yet_valid":       {m.handshakes(ca, *future), `subject="?CN=client"?`},
		"invalid_certificate": {m.handshakes(ca, *usage), `subject="?CN=client"?`},
		"refused_by_peer":     {m.handshakes(stranger), ""},
		"not_tls":             {m.sends("GET / HTTP/1.1\r\n\r\n"), ""},
		"closed":              {m.sends(""), ""},
	} {
		from := &net.TCPAddr{IP: net.ParseIP(ownIP(t))} // a line for each peer
		if err := c.connect(from); err == nil {
			t.Errorf("%s: the control plane accepted the connection", reason)
		}
		series := fmt.Sprintf("breakwater_tls_handshake_failures_total{reason=%q}", reason)
		eventually(t, series, func() error {
			if got := m.metric(t, series); got != 1 {
				return fmt.Errorf("the metric is %v", got)
			}
			return nil
		})
		if reason == "closed" {
			continue // is not logged, because probes of a port do that all the time
		}
		line := regexp.MustCompile(`level=WARN msg="TLS handshake failed" port=proxies remote=` + from.IP.String() + `:\d+ reason=` + reason + ` .*` + c.want)
		eventually(t, "the log has the peer and the reason", func() error {
			if log := m.control.output(); !line.MatchString(log) {
				return fmt.Errorf("there is no line %s in\n%s", line, log)
			}
			return nil
		})
	}

	from := &net.TCPAddr{IP: net.ParseIP(ownIP(t))}
	for range 50 {
		if err := m.handshakes(ca)(from); err == nil {
			t.Fatal("the control plane accepted the connection")
		}
	}
	lines := func() int { return strings.Count(m.control.output(), "remote="+from.IP.String()+":") }
	eventually(t, "all failures are counted, and the log has one", func() error {
		if n := m.metric(t, `breakwater_tls_handshake_failures_total{reason="no_certificate"}`); n != 51 || lines() == 0 {
			return fmt.Errorf("%v failures are counted, and the log has %d lines", n, lines())
		}
		return nil
	})
	if got := lines(); got > 3 {
		t.Errorf("the log has %d lines for 50 failures of one peer, want one line in 10 s", got)
	}
}

// handshakes returns a function that connects to the port for proxies with at most one certificate, and that trusts an
// authority.
func (m *mesh) handshakes(trusted authority, certificates ...tls.Certificate) func(net.Addr) error {
	return func(from net.Addr) error {
		dialer := &tls.Dialer{NetDialer: &net.Dialer{LocalAddr: from}, Config: &tls.Config{
			RootCAs: trusted.Pool(), NextProtos: []string{"h2"},
			// The certificate is shown even if the server names other CAs.
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(certificates) == 0 {
					return &tls.Certificate{}, nil
				}
				return &certificates[0], nil
			},
		}}
		conn, err := dialer.Dial("tcp", m.ip+":18000")
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Read(make([]byte, 1))
		return err
	}
}

// sends returns a function that connects to the port for proxies in plain text, and sends a text.
func (m *mesh) sends(text string) func(net.Addr) error {
	return func(from net.Addr) error {
		conn, err := (&net.Dialer{LocalAddr: from}).Dial("tcp", m.ip+":18000")
		if err != nil {
			return err
		}
		defer conn.Close()
		if text == "" {
			return errors.New("closed")
		}
		if _, err := conn.Write([]byte(text)); err != nil {
			return err
		}
		for {
			if _, err := conn.Read(make([]byte, 1024)); err != nil {
				return err
			}
		}
	}
}
