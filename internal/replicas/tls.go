package replicas

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"breakwater.dev/internal/guard"
)

// TLS has the files of this replica's certificate and key, and of the CA that has signed the certificates of replicas and proxies. They
// are read again for each connection. The zero value means plain text.
type TLS struct{ CertFile, KeyFile, CAFile string }

// client returns the credentials for connections to other replicas: this one's own certificate, which theirs has to share a name
// with.
func (t TLS) client() (credentials.TransportCredentials, error) {
	if t == (TLS{}) {
		return insecure.NewCredentials(), nil
	}
	return credentials.NewTLS(&tls.Config{
		MinVersion:           tls.VersionTLS12,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return t.pair() },
		InsecureSkipVerify:   true, // replicas know each other's addresses, which certificates seldom have; see VerifyConnection
		VerifyConnection: func(c tls.ConnectionState) error {
			return t.verify(c.PeerCertificates, x509.ExtKeyUsageServerAuth)
		},
	}), nil
}

// admit returns an error unless the other end of a stream is a replica: with TLS, its certificate has a name of our own.
func (r *Group) admit(ctx context.Context) error {
	if r.o.TLS == (TLS{}) {
		return nil // only this host can connect, or the operator allows every client
	}
	if err := r.o.TLS.verify(guard.PeerFrom(ctx).Certificates(), x509.ExtKeyUsageClientAuth); err != nil {
		r.o.Log.Warn("a stream claims to be of another replica, and is not", "error", err.Error())
		return status.Error(codes.PermissionDenied, err.Error())
	}
	return nil
}

// pair reads this replica's certificate, which may have been replaced.
func (t TLS) pair() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	return &pair, err
}

// verify returns an error unless certificates belong to another replica.
func (t TLS) verify(certificates []*x509.Certificate, usage x509.ExtKeyUsage) error {
	if len(certificates) == 0 {
		return errors.New("it shows no certificate")
	}
	pem, err := os.ReadFile(t.CAFile)
	if err != nil {
		return fmt.Errorf("the CA of replicas: %w", err)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	for _, c := range certificates[1:] {
		between.AddCert(c)
	}
	leaf := certificates[0]
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
		return fmt.Errorf("the certificate of another replica: %w", err)
	}
	own, err := t.pair()
	if err != nil {
		return fmt.Errorf("the control plane's certificate: %w", err)
	}
	mine, err := x509.ParseCertificate(own.Certificate[0])
	if err != nil {
		return fmt.Errorf("the control plane's certificate: %w", err)
	}
	names := subjects(mine)
	if slices.ContainsFunc(subjects(leaf), func(name string) bool { return slices.Contains(names, name) }) {
		return nil
	}
	return fmt.Errorf("the certificate of another replica is for %q, and has to be for one of our own names, which are %q", subjects(leaf), names)
}

// subjects returns the URIs and DNS names of a certificate.
func subjects(c *x509.Certificate) []string {
	all := slices.Clone(c.DNSNames)
	for _, u := range c.URIs {
		all = append(all, u.String())
	}
	return all
}
