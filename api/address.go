package api

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
)

// parseServer reads the address of a control plane.
func parseServer(server string) (*url.URL, error) {
	text := server
	if text == "" {
		text = DefaultServer
	}
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	base, err := url.Parse(text)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.RawQuery != "" || base.User != nil {
		return nil, fmt.Errorf("server = %q: %w", server, ErrServer)
	}
	return base, nil
}

// transport returns what makes the requests. Over TLS, the server's certificate has to be one of the CA, for the name.
func transport(o *Options) (http.RoundTripper, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: o.ServerName}
	if o.CAFile == "" {
		return t, nil
	}
	text, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("reading the CA: %w", err)
	}
	t.TLSClientConfig.RootCAs = x509.NewCertPool()
	if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("reading the CA: %s holds no certificate in PEM", o.CAFile)
	}
	return t, nil
}

// loopback reports whether a host is this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback() || strings.EqualFold(host, "localhost")
}

// ValidKey reports whether key can name a breaker: SERVICE, SERVICE/ROUTE, or one of them with @NODE. Others would be
// the path of another page.
func ValidKey(key string) bool {
	name, node, perNode := strings.Cut(key, "@")
	parts := strings.Split(name, "/")
	odd := func(part string) bool { return part == "" || part == "." || part == ".." }
	return len(parts) <= 2 && !slices.ContainsFunc(parts, odd) && !(perNode && node == "")
}

// breakerPath returns the path of one breaker. Nodes have names of any kind, which must not become parts of the path.
func breakerPath(key string) string {
	name, node, perNode := strings.Cut(key, "@")
	parts := strings.Split(name, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	path := "/breakers/" + strings.Join(parts, "/")
	if perNode {
		path += "@" + url.PathEscape(node)
	}
	return path
}
