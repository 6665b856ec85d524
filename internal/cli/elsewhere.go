package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"breakwater.dev/api"
)

// Elsewhere returns what is there instead of the HTTP port of a control plane that could not be reached; "": nothing that is
// known. It asks the server for at most a second, or timeout where that is less.
func Elsewhere(e *api.UnreachableError, timeout time.Duration) string {
	const proxies = "that is how it speaks to proxies, at its --xds-listen; give the address of its --http-listen, whose usual port is 18080"
	patience := min(timeout, time.Second)
	cut := errors.Is(e.Err, io.EOF) || errors.Is(e.Err, syscall.ECONNRESET)
	// net/http has no other way to say some of this than by the text of its error.
	switch text := e.Err.Error(); {
	case strings.Contains(text, `malformed HTTP response "\x00\x00`), // a frame of HTTP/2
		cut && speaksGRPC(e.Server, patience):
		return "it speaks gRPC; " + proxies
	case strings.Contains(text, `malformed HTTP response "\x15\x03`), // an alert of TLS
		cut && !strings.HasPrefix(e.Server, "https:") && speaksTLS(e.Server, patience):
		return "it speaks TLS; where it is the HTTP address, begin it with https://, and else " + proxies
	case strings.Contains(text, "server gave HTTP response to HTTPS client"):
		return "it speaks plain HTTP; begin it with http://"
	}
	return ""
}

// speaksGRPC reports whether the server answers to HTTP/2 in plain text, as gRPC servers do.
func speaksGRPC(server string, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server, nil)
	if err != nil {
		return false
	}
	request.Header.Set("Content-Type", "application/grpc")
	r, err := transport.RoundTrip(request)
	if err != nil {
		return false
	}
	defer r.Body.Close()
	return strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

// speaksTLS reports whether the server answers to TLS. Nothing is said to it, so that it
// makes no difference which server it is.
func speaksTLS(server string, patience time.Duration) bool {
	base, err := url.Parse(server)
	if err != nil || base.Port() == "" {
		return false
	}
	dialer := &net.Dialer{Timeout: patience}
	conn, err := tls.DialWithDialer(dialer, "tcp", base.Host, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
