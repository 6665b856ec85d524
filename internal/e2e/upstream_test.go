package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// upstream is a service whose behaviour a test can change at any time.
type upstream struct {
	address  string
	calls    atomic.Int64 // requests that have arrived
	inFlight atomic.Int64
	most     atomic.Int64 // the most requests that were in flight at once

	mu          sync.Mutex // guards handler
	handler     http.HandlerFunc
	certificate *tls.Certificate // nil: plain text
	server      *http.Server
}

// answer returns a handler that answers with a status.
func answer(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprintf(w, "status %d\n", status)
	}
}

// hang is a handler that does not answer. It returns when the caller has left.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// reset is a handler that closes the connection without an answer.
func reset(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		conn.Close()
	}
}

// newUpstream starts a service that answers 200.
func newUpstream(t *testing.T, ip string) *upstream {
	t.Helper()
	return newSecureUpstream(t, ip, nil)
}

// newSecureUpstream starts a service that answers 200, and that speaks TLS unless certificate is nil.
func newSecureUpstream(t *testing.T, ip string, certificate *tls.Certificate) *upstream {
	t.Helper()
	u := &upstream{handler: answer(http.StatusOK), certificate: certificate}
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	u.address = l.Addr().String()
	u.serve(l)
	t.Cleanup(u.stop)
	return u
}

func (u *upstream) serve(l net.Listener) {
	u.server = &http.Server{Handler: u, ErrorLog: noLog}
	if u.certificate != nil {
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{*u.certificate}})
	}
	go u.server.Serve(l)
}

// stop closes the port and every connection.
func (u *upstream) stop() { u.server.Close() }

// restart opens the port again.
func (u *upstream) restart(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", u.address)
	if err != nil {
		t.Fatal(err)
	}
	u.serve(l)
}

// behave makes the service answer with h from now on.
func (u *upstream) behave(h http.HandlerFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.handler = h
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.calls.Add(1)
	now := u.inFlight.Add(1)
	defer u.inFlight.Add(-1)
	for most := u.most.Load(); now > most && !u.most.CompareAndSwap(most, now); most = u.most.Load() {
	}
	u.mu.Lock()
	h := u.handler
	u.mu.Unlock()
	h(w, r)
}

// reply is the response that a caller got.
type reply struct {
	status int
	header http.Header
	body   string
}

// caller sends requests to a proxy.
type caller struct {
	client *http.Client
	egress string
	// passed is the number of requests in [caller.must] that should have been rejected and passed, since the control plane
	// did not answer the proxy in time.
	passed int
}

func newCaller(t *testing.T, egress string) *caller {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 128, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &caller{client: &http.Client{Transport: transport}, egress: egress}
}

// get sends one GET for host and path through the proxy.
func (c *caller) get(ctx context.Context, host, path string) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.egress+path, nil)
	if err != nil {
		return reply{}, err
	}
	req.Host = host
	resp, err := c.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{status: resp.StatusCode, header: resp.Header, body: string(body)}, err
}

// must sends one GET, and fails the test unless the response has the status. In the data path Inline a request passes without a
// decision if the control plane does not answer within 200 ms. So a request that should be rejected is sent again if the proxy has
// counted a message as not answered in time meanwhile.
func (c *caller) must(t *testing.T, host string, status int) reply {
	t.Helper()
	for {
		before := 0
		if status == http.StatusServiceUnavailable {
			before = c.unanswered(t)
		}
		r, err := c.get(t.Context(), host, "/")
		if err != nil {
			t.Fatalf("GET %s: %v", host, err)
		}
		switch {
		case r.status == status:
			return r
		case status != http.StatusServiceUnavailable || c.unanswered(t) == before:
			t.Fatalf("GET %s: got %d %q, want %d", host, r.status, r.body, status)
		}
		c.passed++
	}
}

// unanswered returns the number of ext_proc messages that the control plane has not answered in time. Such calls pass without
// a decision.
func (c *caller) unanswered(t *testing.T) (n int) {
	t.Helper()
	ip, _, err := net.SplitHostPort(c.egress)
	if err != nil {
		t.Fatal(err)
	}
	page, err := fetch("http://" + ip + ":9901/stats?filter=ext_proc.*message_timeouts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(page) {
		_, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		n += number(value)
	}
	return n
}
