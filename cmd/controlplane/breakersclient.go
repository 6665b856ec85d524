package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

const (
	defaultServer = "http://127.0.0.1:18080"
	serverEnv     = "BREAKWATER_SERVER"
)

// controlPlane is where commands find the control plane, as their flags say.
type controlPlane struct {
	server  string // empty: as the environment says, else defaultServer
	timeout time.Duration
	caFile  string // empty: as the environment says, else the system's
	tlsName string // empty: the host of the URL
}

func (p *controlPlane) flags(c *cobra.Command) {
	f := c.PersistentFlags()
	f.StringVar(&p.server, "server", "", "`URL` or host:port of the control plane's --http-listen (default $"+serverEnv+", else "+defaultServer+")")
	f.StringVar(&p.caFile, "ca-file", "", "PEM `file` with the CA of the control plane's certificate (default $"+caFileEnv+", else the system's)")
	f.StringVar(&p.tlsName, "tls-server-name", "", "`name` that has to be in that certificate, if it is not the host of --server (default $"+tlsNameEnv+")")
	f.DurationVar(&p.timeout, "timeout", 5*time.Second, "how long to wait for each answer")
}

// client returns what speaks with the control plane. It is not yet known to be there.
func (p *controlPlane) client() (*client, error) {
	said, server := "--server", p.server
	if server == "" {
		said, server = serverEnv, os.Getenv(serverEnv)
	}
	if server == "" {
		server = defaultServer
	}
	typed := server
	if !strings.Contains(server, "://") { // people type host:port
		server = "http://" + server
	}
	base, err := url.Parse(server)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.RawQuery != "" || base.User != nil {
		return nil, usageError{fmt.Errorf("%s = %q; must be host:port or a URL, such as %s", said, typed, defaultServer)}
	}
	if p.timeout <= 0 {
		return nil, usageError{fmt.Errorf("--timeout = %s; must be a duration above 0", p.timeout)}
	}
	c := &client{base: strings.TrimRight(base.String(), "/"), plainTo: base.Hostname(), timeout: p.timeout}
	if base.Scheme == "https" {
		c.plainTo = ""
	}
	if c.http.Transport, err = p.transport(); err != nil {
		return nil, err
	}
	// A redirect would lead elsewhere than the user said, and take the token along.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// client speaks the HTTP interface of a control plane.
type client struct {
	base    string // URL, without a slash at its end
	plainTo string // the host that gets plain text; empty: all is encrypted
	timeout time.Duration
	token   token // of the administrator; may be empty
	http    http.Client
}

// answerError is an answer of the control plane that says no.
type answerError struct {
	status  int
	message string
}

func (e *answerError) Error() string { return e.message }

// call sends one request, with body as its JSON unless it is nil, and has read take
// the answer. It returns what time it is at the server.
func (c *client) call(ctx context.Context, method, path string, body any, read func(*json.Decoder) error) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	r, err := c.open(ctx, method, path, body)
	if err != nil {
		return time.Time{}, err
	}
	defer r.Body.Close()
	if err := read(json.NewDecoder(r.Body)); err != nil {
		if ctx.Err() != nil {
			return time.Time{}, c.unreachable(ctx.Err())
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return time.Time{}, fmt.Errorf("the control plane at %s ended in the middle of its answer to %s %s", c.base, method, path)
		}
		return time.Time{}, fmt.Errorf("%s is not a control plane of Breakwater, or another version: the answer to %s %s cannot be read: %w", c.base, method, path, err)
	}
	now, err := http.ParseTime(r.Header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return now, nil
}

// open sends one request and returns the answer, whose body the caller closes, if it is a 200.
func (c *client) open(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("writing the request as JSON: %w", err)
		}
		content = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, content)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	request.Header.Set("User-Agent", "breakwater/"+version)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.token.text != "" {
		request.Header.Set("Authorization", "Bearer "+c.token.text)
	}
	r, err := c.http.Do(request)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if r.StatusCode != http.StatusOK {
		defer r.Body.Close()
		return nil, c.refused(r, method+" "+path)
	}
	return r, nil
}

// unreachable says what to check when there is no answer at all.
func (c *client) unreachable(err error) error {
	var transport *url.Error
	if errors.As(err, &transport) {
		err = transport.Err // it names the URL, which we do ourselves
	}
	if why := c.distrusted(err); why != nil {
		return why
	}
	if what := c.elsewhere(err); what != "" {
		return fmt.Errorf("%s is not the HTTP address of a control plane: %s", c.base, what)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %s", c.timeout)
	}
	return fmt.Errorf("cannot reach the control plane at %s: %w; check that 'breakwater serve' runs, and that --server or %s is its --http-listen", c.base, err, serverEnv)
}

// elsewhere says what was reached instead of an HTTP server; empty: nothing that is known.
// net/http has no other way to say some of it than by the error's text.
func (c *client) elsewhere(err error) string {
	const proxies = "that is how it speaks to proxies, at its --xds-listen; give the address of its --http-listen, whose usual port is 18080"
	cut := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
	switch text := err.Error(); {
	case strings.Contains(text, `malformed HTTP response "\x00\x00`), // a frame of HTTP/2
		cut && c.speaksGRPC():
		return "it speaks gRPC; " + proxies
	case strings.Contains(text, `malformed HTTP response "\x15\x03`), // an alert of TLS
		cut && !strings.HasPrefix(c.base, "https:") && c.speaksTLS():
		return "it speaks TLS; where it is the HTTP address, begin it with https://, and else " + proxies
	case strings.Contains(text, "server gave HTTP response to HTTPS client"):
		return "it speaks plain HTTP; begin it with http://"
	}
	return ""
}

// speaksGRPC tells whether the server answers to HTTP/2 in plain text, as gRPC servers do.
func (c *client) speaksGRPC() bool {
	ctx, cancel := context.WithTimeout(context.Background(), min(c.timeout, time.Second))
	defer cancel()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base, nil)
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

// speaksTLS tells whether the server answers to TLS. Nothing is said to it, so that it
// makes no difference who it is.
func (c *client) speaksTLS() bool {
	base, err := url.Parse(c.base)
	if err != nil || base.Port() == "" {
		return false
	}
	dialer := &net.Dialer{Timeout: min(c.timeout, time.Second)}
	conn, err := tls.DialWithDialer(dialer, "tcp", base.Host, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// refused reads why the control plane says no.
func (c *client) refused(r *http.Response, asked string) error {
	var p struct {
		Error string `json:"error"`
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err != nil {
		return c.unreachable(err)
	}
	if bytes.Contains(text, []byte("HTTP request to an HTTPS server")) {
		return fmt.Errorf("%s speaks TLS: give --server as an https URL, and its CA by --ca-file", c.base)
	}
	if json.Unmarshal(text, &p) != nil || p.Error == "" {
		return fmt.Errorf("%s is not a control plane of Breakwater, or another version: it answered %s to %s", c.base, r.Status, asked)
	}
	message := p.Error
	if r.StatusCode == http.StatusUnauthorized {
		message = c.token.refused(p.Error)
	}
	return &answerError{r.StatusCode, message}
}

// loopback tells whether a host is this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback() || strings.EqualFold(host, "localhost")
}

// breakerPath is the page of one breaker. Nodes have names of any kind, which are
// not to become parts of the path.
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

// completeKeys has a shell complete names of breakers. Where the server cannot be
// asked there is nothing to offer, and nothing to say in the middle of a line.
func (p *controlPlane) completeKeys(c *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	quick := *p
	quick.timeout = min(p.timeout, time.Second)
	cl, err := quick.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	known, err := cl.keys(c.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var offers []cobra.Completion
	for _, key := range known {
		if strings.HasPrefix(key, begun) && !slices.Contains(args, key) {
			offers = append(offers, key)
		}
	}
	return offers, cobra.ShellCompDirectiveNoFileComp
}
