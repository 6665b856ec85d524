// Package testca signs the certificates of tests.
//
// In: names, addresses, and edits of what a certificate says.
// Out: certificates and keys, as files in a directory that is gone after the test.
// Called by: tests that speak TLS.
// Never: makes a certificate that is valid for more than an hour, unless an edit says so.
// Concurrency: an Authority is for one goroutine at a time.
package testca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority signs certificates. Its own is in ca.pem and ca.key.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
	last int64 // serial number
}

// New makes an authority, which signs its own certificate.
func New(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{dir: t.TempDir()}
	a.Issue(t, "ca", "", func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid = true, true
		c.KeyUsage, c.ExtKeyUsage = x509.KeyUsageCertSign, nil
	})
	return a
}

// Issue makes a certificate with its key, as NAME.pem and NAME.key. It is for both sides of a connection, and for an
// address unless that is empty; edits change what it says.
func (a *Authority) Issue(t testing.TB, name, ip string, edits ...func(*x509.Certificate)) {
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
	if ip != "" {
		template.IPAddresses = []net.IP{net.ParseIP(ip)}
	}
	for _, edit := range edits {
		edit(template)
	}
	if a.cert == nil { // this is its own
		a.cert, a.key = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert == template {
		if a.cert, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(a.Path(name+file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Pair is Issue, and reads the files again.
func (a *Authority) Pair(t testing.TB, name, ip string, edits ...func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	a.Issue(t, name, ip, edits...)
	pair, err := tls.LoadX509KeyPair(a.Path(name+".pem"), a.Path(name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	return &pair
}

// Pool has the authority's certificate, for those who trust it.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// Path is where a file is that the authority wrote.
func (a *Authority) Path(name string) string { return filepath.Join(a.dir, name) }
