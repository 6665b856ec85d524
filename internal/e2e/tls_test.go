package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs certificates of a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
	last int64 // serial number
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.key, a.cert = a.issue(t, "ca", "", nil)
	return a
}

// issue makes a certificate with its key, as NAME.pem and NAME.key.
func (a *authority) issue(t *testing.T, name, ip string, parent *x509.Certificate, edits ...func(*x509.Certificate)) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a.last++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.last), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	signer := a.key
	if parent == nil {
		template.IsCA, template.BasicConstraintsValid = true, true
		template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageCertSign, nil
		parent, signer = template, key
	} else {
		template.IPAddresses = []net.IP{net.ParseIP(ip)}
	}
	for _, edit := range edits {
		edit(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	a.write(t, name+".key", "EC PRIVATE KEY", keyDER)
	a.write(t, name+".pem", "CERTIFICATE", der)
	return key, cert
}

func (a *authority) write(t *testing.T, name, kind string, der []byte) {
	t.Helper()
	data := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(a.path(name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// TestTLS secures xDS and ext_proc with certificates of both sides, turns away who has
// none, and exchanges the control plane's certificate while it runs.
func TestTLS(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	ca := newAuthority(t)
	ca.issue(t, "server", ip, ca.cert)
	ca.issue(t, "proxy", ip, ca.cert)
	u := newUpstream(t, ip)
	m := prepareMesh(t, ip, service("payments", u.address)+guard("payments", "failOpen: false"))
	m.startControl(t, "--tls-cert", ca.path("server.pem"), "--tls-key", ca.path("server.key"), "--tls-client-ca", ca.path("ca.pem"))

	m.runEnvoy(t, m.bootstrap(t, "--tls-ca", ca.path("ca.pem"), "--tls-cert", ca.path("proxy.pem"), "--tls-key", ca.path("proxy.key")))
	m.must(t, "payments", http.StatusOK) // which fails closed: the control plane was asked
	eventually(t, "it is counted", func() error {
		if got := m.breaker(t, "payments").Counts.Successes; got != 1 {
			return fmt.Errorf("successes = %d, want 1", got)
		}
		return nil
	})

	pair, err := tls.LoadX509KeyPair(ca.path("proxy.pem"), ca.path("proxy.key"))
	if err != nil {
		t.Fatal(err)
	}
	serial := func(certificates ...tls.Certificate) (*big.Int, error) {
		conn, err := tls.Dial("tcp", ip+":18000", &tls.Config{RootCAs: ca.pool(), Certificates: certificates, NextProtos: []string{"h2"}})
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		// With TLS 1.3 a server's refusal comes with the first bytes it sends.
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			return nil, err
		}
		return conn.ConnectionState().PeerCertificates[0].SerialNumber, nil
	}
	if _, err := serial(); err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("a proxy without a certificate: %v, want to be told that one is required", err)
	}
	before, err := serial(pair)
	if err != nil {
		t.Fatal(err)
	}
	ca.issue(t, "server", ip, ca.cert)
	eventually(t, "the new certificate is in use", func() error {
		now, err := serial(pair)
		if err == nil && now.Cmp(before) == 0 {
			err = errors.New("still the old one")
		}
		return err
	})
	m.must(t, "payments", http.StatusOK)
}
