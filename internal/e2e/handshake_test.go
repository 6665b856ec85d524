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

// TestFailedHandshakesAreSeen: who cannot connect, with which certificate and why, is in
// the log, and all are counted.
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
		want    string // what the line has beside the reason
	}{
		"no_certificate":      {m.shakes(ca), ""},
		"unknown_authority":   {m.shakes(ca, *stranger.Pair(t, "impostor", ip)), `subject="?CN=impostor"? issuer="?CN=ca"? names=` + ip},
		"expired":             {m.shakes(ca, *expired), `subject="?CN=client"?`},
		"not_yet_valid":       {m.shakes(ca, *future), `subject="?CN=client"?`},
		"invalid_certificate": {m.shakes(ca, *usage), `subject="?CN=client"?`},
		"refused_by_peer":     {m.shakes(stranger), ""},
		"not_tls":             {m.speaks("GET / HTTP/1.1\r\n\r\n"), ""},
		"closed":              {m.speaks(""), ""},
	} {
		from := &net.TCPAddr{IP: net.ParseIP(ownIP(t))} // a line for each peer
		if err := c.connect(from); err == nil {
			t.Errorf("%s: the control plane took the connection", reason)
		}
		series := fmt.Sprintf("breakwater_tls_handshake_failures_total{reason=%q}", reason)
		eventually(t, series, func() error {
			if got := m.metric(t, series); got != 1 {
				return fmt.Errorf("it is %v", got)
			}
			return nil
		})
		if reason == "closed" {
			continue // probes of a port do that all the time
		}
		line := regexp.MustCompile(`level=WARN msg="TLS handshake failed" port=proxies remote=` + from.IP.String() + `:\d+ reason=` + reason + ` .*` + c.want)
		eventually(t, "the log says who and why", func() error {
			if log := m.control.output(); !line.MatchString(log) {
				return fmt.Errorf("no line %s in\n%s", line, log)
			}
			return nil
		})
	}

	from := &net.TCPAddr{IP: net.ParseIP(ownIP(t))}
	for range 50 {
		if err := m.shakes(ca)(from); err == nil {
			t.Fatal("the control plane took the connection")
		}
	}
	lines := func() int { return strings.Count(m.control.output(), "remote="+from.IP.String()+":") }
	eventually(t, "all are counted, and the log has one", func() error {
		if n := m.metric(t, `breakwater_tls_handshake_failures_total{reason="no_certificate"}`); n != 51 || lines() == 0 {
			return fmt.Errorf("%v are counted, and %d lines are in the log", n, lines())
		}
		return nil
	})
	if got := lines(); got > 3 {
		t.Errorf("50 failures of one peer are %d lines, want one each 10 s", got)
	}
}

// shakes connects with a certificate, or none, trusting an authority.
func (m *mesh) shakes(trusted authority, certificates ...tls.Certificate) func(net.Addr) error {
	return func(from net.Addr) error {
		dialer := &tls.Dialer{NetDialer: &net.Dialer{LocalAddr: from}, Config: &tls.Config{
			RootCAs: trusted.Pool(), NextProtos: []string{"h2"},
			// Shown even if the server names other CAs.
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

// speaks connects in plain text.
func (m *mesh) speaks(text string) func(net.Addr) error {
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
