package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"

	"google.golang.org/grpc/credentials/tls/certprovider/pemfile"

	"breakwater.dev/internal/httpapi"
)

// HTTP is how the port for people and Prometheus is served. The zero value is plain text, which
// takes changes by hand from this host only.
type HTTP struct {
	// CertFile and KeyFile, both or none, make it TLS. They are PEM, and are read again when
	// they change.
	CertFile, KeyFile string
	// Names are hosts by which it may be asked for in plain text; see [httpapi.API.GuardedHandler].
	Names []string
	// Insecure takes changes by hand over plain text from other hosts too.
	Insecure bool
}

// webServer makes the server for people, and returns what to call when it is done with.
func (a *app) webServer() (*http.Server, func(), error) {
	o := a.options.HTTP
	names := o.Names
	if host, _, err := net.SplitHostPort(a.options.HTTPListen); err == nil && host != "" {
		names = append([]string{host}, names...)
	}
	web := httpapi.NewServer(a.api.GuardedHandler(names...))
	web.RegisterOnShutdown(a.api.Close)
	web.ErrorLog = log.New(webErrors{a.handshakes}, "", 0)
	if o.CertFile == "" && o.KeyFile == "" {
		return web, func() {}, nil
	}
	if o.CertFile == "" || o.KeyFile == "" {
		return nil, nil, errors.New("--http-tls-cert and --http-tls-key belong together; give both")
	}
	// A mistake is an error at start, and not a handshake that fails later.
	if _, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile); err != nil {
		return nil, nil, fmt.Errorf("TLS for HTTP: loading %s with %s: %w", o.CertFile, o.KeyFile, err)
	}
	identity, err := pemfile.NewProvider(pemfile.Options{CertFile: o.CertFile, KeyFile: o.KeyFile, RefreshDuration: certificateRefresh})
	if err != nil {
		return nil, nil, fmt.Errorf("TLS for HTTP: %w", err)
	}
	web.TLSConfig = &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			material, err := identity.KeyMaterial(h.Context())
			if err != nil {
				return nil, err
			}
			return &material.Certs[0], nil
		},
	}
	// HTTP/1.1 as in plain text: nobody needs more, and its limits hold.
	web.Protocols = new(http.Protocols)
	web.Protocols.SetHTTP1(true)
	return web, identity.Close, nil
}

// serveWeb serves people until the server is shut down.
func serveWeb(web *http.Server, people net.Listener) error {
	serve := web.Serve
	if web.TLSConfig != nil {
		serve = func(l net.Listener) error { return web.ServeTLS(l, "", "") }
	}
	if err := serve(people); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// stopWeb lets requests end, until ctx is over.
func (a *app) stopWeb(ctx context.Context, web *http.Server) {
	if err := web.Shutdown(ctx); err != nil {
		a.log.Warn("some HTTP requests did not end in time", "error", err.Error())
		_ = web.Close() // its listener is closed already, and the connections have nobody to tell
	}
}
