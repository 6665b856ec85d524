package app

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/tls/certprovider/pemfile"
	"google.golang.org/grpc/security/advancedtls"
)

// certificateRefresh is how long after its files changed a certificate is in use at the latest.
const certificateRefresh = 10 * time.Second

// TLS is how connections of proxies are secured. All files are PEM, and are read
// again when they change. Proxies have to show a certificate that ClientCAFile signed.
type TLS struct {
	CertFile, KeyFile string
	ClientCAFile      string
}

// Enabled tells whether any of it is given; then all has to be.
func (t TLS) Enabled() bool { return t != TLS{} }

// check reads the files once, so that a mistake is an error at start and not a
// handshake that fails later.
func (t TLS) check() error {
	if t.CertFile == "" || t.KeyFile == "" || t.ClientCAFile == "" {
		return errors.New("--tls-cert, --tls-key and --tls-client-ca belong together; give all three")
	}
	if _, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile); err != nil {
		return fmt.Errorf("loading %s with %s: %w", t.CertFile, t.KeyFile, err)
	}
	pem, err := os.ReadFile(t.ClientCAFile)
	if err != nil {
		return fmt.Errorf("reading the client CA: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s holds no certificate", t.ClientCAFile)
	}
	return nil
}

// credentials returns what a gRPC server needs, and what stops watching the files.
func (t TLS) credentials() (credentials.TransportCredentials, func(), error) {
	if err := t.check(); err != nil {
		return nil, nil, err
	}
	identity, err := pemfile.NewProvider(pemfile.Options{
		CertFile: t.CertFile, KeyFile: t.KeyFile, RefreshDuration: certificateRefresh,
	})
	if err != nil {
		return nil, nil, err
	}
	roots, err := pemfile.NewProvider(pemfile.Options{RootFile: t.ClientCAFile, RefreshDuration: certificateRefresh})
	if err != nil {
		identity.Close()
		return nil, nil, err
	}
	stop := func() { identity.Close(); roots.Close() }
	creds, err := advancedtls.NewServerCreds(&advancedtls.Options{
		IdentityOptions:   advancedtls.IdentityCertificateOptions{IdentityProvider: identity},
		RootOptions:       advancedtls.RootCertificateOptions{RootProvider: roots},
		RequireClientCert: true,
		VerificationType:  advancedtls.CertVerification,
		MinTLSVersion:     tls.VersionTLS12,
		MaxTLSVersion:     tls.VersionTLS13,
	})
	if err != nil {
		stop()
		return nil, nil, err
	}
	return creds, stop, nil
}
