package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
)

// Where no flag does, these name the file with the CA, and the name in the certificate.
const (
	caFileEnv  = "BREAKWATER_CA_FILE"
	tlsNameEnv = "BREAKWATER_TLS_SERVER_NAME"
)

// transport is how the control plane is reached: over TLS, if so, its certificate has to be one of
// the CA, for the name.
func (p *controlPlane) transport() (http.RoundTripper, error) {
	file := p.caFile
	if file == "" {
		file = os.Getenv(caFileEnv)
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cmp.Or(p.tlsName, os.Getenv(tlsNameEnv))}
	if file == "" {
		return t, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the CA: %w", err)
	}
	t.TLSClientConfig.RootCAs = x509.NewCertPool()
	if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("reading the CA: %s holds no certificate in PEM", file)
	}
	return t, nil
}

// distrusted says what to do about a certificate that was not accepted; it is nil where that is
// not what went wrong.
func (c *client) distrusted(err error) error {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("the certificate of %s is of no CA that is known here: %w; give the CA by --ca-file or %s", c.base, err, caFileEnv)
	case errors.As(err, &name):
		return fmt.Errorf("the certificate of %s is for another name: %w; where that is right, for example behind a tunnel, give --tls-server-name", c.base, err)
	}
	return nil
}
