package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/tls/certprovider"
	"google.golang.org/grpc/credentials/tls/certprovider/pemfile"
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
	return credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			return configOfNow(hello.Context(), identity, roots)
		},
	}), stop, nil
}

// configOfNow has what the files hold now. crypto/tls then verifies the proxy's
// certificate itself, and its errors have the certificate in them.
func configOfNow(ctx context.Context, identity, roots certprovider.Provider) (*tls.Config, error) {
	own, err := identity.KeyMaterial(ctx)
	if err != nil {
		return nil, fmt.Errorf("the control plane's certificate: %w", err)
	}
	trusted, err := roots.KeyMaterial(ctx)
	if err != nil {
		return nil, fmt.Errorf("the CA of proxies: %w", err)
	}
	return &tls.Config{
		Certificates: own.Certs, ClientCAs: trusted.Roots, ClientAuth: tls.RequireAndVerifyClientCert,
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"},
		// A session that is resumed would not be held against a CA that was replaced.
		SessionTicketsDisabled: true,
	}, nil
}
