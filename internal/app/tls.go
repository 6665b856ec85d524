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

// certificateRefresh is how often certificate files are read again.
const certificateRefresh = 10 * time.Second

// TLS configures the connections of proxies. All files are PEM files, and are read again when they change. A proxy must
// show a certificate that the CA of ClientCAFile has signed.
type TLS struct {
	CertFile, KeyFile string
	ClientCAFile      string
}

// Enabled reports whether any of the files is given. Then all of them must be.
func (t TLS) Enabled() bool { return t != TLS{} }

// check reads the files once, so that a mistake in them prevents the start.
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

// credentials returns the credentials for a gRPC server. The caller calls the returned function when the server has
// stopped; it ends the watching of the files.
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
			return currentConfig(hello.Context(), identity, roots)
		},
	}), stop, nil
}

// currentConfig returns a configuration with the current content of the files. With it, crypto/tls itself verifies the
// proxy's certificate, and puts the certificate into its errors.
func currentConfig(ctx context.Context, identity, roots certprovider.Provider) (*tls.Config, error) {
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
		// A resumed session would not be checked against a CA that was replaced meanwhile.
		SessionTicketsDisabled: true,
	}, nil
}
