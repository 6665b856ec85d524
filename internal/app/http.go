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

	"breakwater.dev/internal/handshakes"
	"breakwater.dev/internal/httpapi"
)

// HTTP configures the HTTP port, which serves operators and Prometheus. The zero value serves plain text, and accepts
// changes by hand from this host only.
type HTTP struct {
	// CertFile and KeyFile, both or none, turn on TLS. They are PEM files, and are read again when they change.
	CertFile, KeyFile string
	// Names are the host names that a request in plain text may have; see [httpapi.API.GuardedHandler].
	Names []string
	// Insecure also accepts changes by hand over plain text from other hosts.
	Insecure bool
}

// httpServer makes the HTTP server. The caller calls the returned function when the server has stopped.
func (a *app) httpServer() (*http.Server, func(), error) {
	o := a.options.HTTP
	names := o.Names
	if host, _, err := net.SplitHostPort(a.options.HTTPListen); err == nil && host != "" {
		names = append([]string{host}, names...)
	}
	web := httpapi.NewServer(a.api.GuardedHandler(names...))
	web.RegisterOnShutdown(a.api.Close)
	web.ErrorLog = log.New(handshakes.HTTPErrors{Failures: a.handshakes}, "", 0)
	if o.CertFile == "" && o.KeyFile == "" {
		return web, func() {}, nil
	}
	if o.CertFile == "" || o.KeyFile == "" {
		return nil, nil, errors.New("--http-tls-cert and --http-tls-key belong together; give both")
	}
	// The files are read once now, so that a mistake in them prevents the start.
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
	// The server speaks only HTTP/1.1, as it does in plain text. Its limits are for HTTP/1.1.
	web.Protocols = new(http.Protocols)
	web.Protocols.SetHTTP1(true)
	return web, identity.Close, nil
}

// serveHTTP serves a port until the server is shut down.
func serveHTTP(web *http.Server, listener net.Listener) error {
	serve := web.Serve
	if web.TLSConfig != nil {
		serve = func(l net.Listener) error { return web.ServeTLS(l, "", "") }
	}
	if err := serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// stopHTTP shuts the server down. It waits for requests in flight until ctx ends.
func (a *app) stopHTTP(ctx context.Context, web *http.Server) {
	if err := web.Shutdown(ctx); err != nil {
		a.log.Warn("some HTTP requests did not end in time", "error", err.Error())
		_ = web.Close() // the listener is closed already, and errors of the connections concern no caller
	}
}
