package handshakes

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// text is a log that several goroutines may write to.
type text struct {
	mu sync.Mutex
	b  strings.Builder
}

func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// eventually waits until check returns no error.
func eventually(t *testing.T, condition string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for err := check(); err != nil; err = check() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", condition, err)
		}
		<-tick.C
	}
}

// TestHandshakesOfTheHTTPPort shows that failed handshakes of the HTTP port are logged and counted like the ones of the port
// for proxies. net/http reports them as text, and this test sees the text of the current Go version.
func TestHandshakesOfTheHTTPPort(t *testing.T) {
	t.Parallel()
	silence := func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) } // waits until the server closes the connection
	const patience = time.Minute
	for _, tt := range []struct {
		reason, level string
		connect       func(c net.Conn)
		patience      time.Duration
	}{
		{reasonRefusedByPeer, "WARN", func(c net.Conn) { _ = tls.Client(c, &tls.Config{ServerName: "a"}).Handshake() }, patience}, // does not know the CA
		{reasonNotTLS, "WARN", func(c net.Conn) { _, _ = c.Write([]byte("GET / HTTP/1.1\r\n\r\n")) }, patience},
		{reasonClosed, "DEBUG", func(net.Conn) {}, patience},
		{reasonTimeout, "WARN", silence, 10 * time.Millisecond},
		{reasonTurnedAway, "DEBUG", silence, patience},
	} {
		var lines text
		h := New(slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug})), time.Now)
		web := httptest.NewUnstartedServer(http.NotFoundHandler())
		web.Config.ErrorLog = log.New(HTTPErrors{h}, "", 0)
		web.Config.ReadHeaderTimeout = tt.patience
		web.Config.ConnState = func(c net.Conn, s http.ConnState) {
			if s == http.StateNew && tt.reason == reasonTurnedAway {
				_ = c.(*tls.Conn).NetConn().Close() // as the guard does
			}
		}
		web.StartTLS()
		defer web.Close()
		c, err := net.Dial("tcp", web.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		tt.connect(c)
		c.Close()
		want := "level=" + tt.level + ` msg="TLS handshake failed" port=HTTP remote=` + c.LocalAddr().String() + " reason=" + tt.reason
		eventually(t, tt.reason, func() error {
			if h.status()[tt.reason] == 0 || !strings.Contains(lines.String(), want) {
				return fmt.Errorf("the failure is not counted, or the log has no %s: %v\n%s", want, h.status(), &lines)
			}
			return nil
		})
	}
}

// TestErrorsOfTheHTTPPort shows that faults of this process are logged as errors, and in full length.
func TestErrorsOfTheHTTPPort(t *testing.T) {
	t.Parallel()
	var lines text
	h := New(slog.New(slog.NewTextHandler(&lines, nil)), time.Now)
	long := strings.Repeat("why ", 1_000)
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(long) }))
	web.Config.ErrorLog = log.New(HTTPErrors{h}, "", 0)
	web.Listener = &stumbling{Listener: web.Listener}
	web.Start()
	if _, err := web.Client().Get(web.URL); err == nil {
		t.Error("a handler that panics has sent a response")
	}
	web.Close() // waits for the connection
	for _, want := range []string{
		`level=ERROR msg="the HTTP server has an error that is not its peer's" error="http: panic serving 127.0.0.1:`, long, "handshakes_test.go:",
		`level=ERROR msg="the HTTP server has an error that is not its peer's" error="http: Accept error: too many open files;`,
	} {
		if !strings.Contains(lines.String(), want) {
			t.Errorf("the log has no %.100q:\n%s", want, &lines)
		}
	}
}

// stumbling is a listener whose first Accept fails.
type stumbling struct {
	net.Listener
	stumbled atomic.Bool
}

func (s *stumbling) Accept() (net.Conn, error) {
	if s.stumbled.CompareAndSwap(false, true) {
		return nil, syscall.EMFILE
	}
	return s.Listener.Accept()
}

// TestHandshakesAreLoggedByNetwork shows that log lines are limited for each network, since one host may have a whole /64 of
// IPv6, and that a line has the number of lines that were left out before it.
func TestHandshakesAreLoggedByNetwork(t *testing.T) {
	var lines text
	now := time.Unix(1_000, 0)
	h := New(slog.New(slog.NewTextHandler(&lines, nil)), func() time.Time { return now })
	for i := range 1_000 {
		h.Failed("proxies", &net.TCPAddr{IP: net.ParseIP(fmt.Sprintf("2001:db8::%x", i)), Port: i}, errors.New("why"))
		h.Failed("proxies", &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: i}, net.ErrClosed)
	}
	if got := strings.Count(lines.String(), "\n"); got != 1 || strings.Contains(lines.String(), "lines_left_out") {
		t.Errorf("the log has %d lines, want one line for the network:\n%s", got, &lines)
	}
	now = now.Add(10 * time.Second)
	h.Failed("proxies", &net.TCPAddr{IP: net.ParseIP("2001:db8::1")}, errors.New("why"))
	if got := lines.String(); !strings.Contains(got, "reason=other error=why lines_left_out=999") {
		t.Errorf("the log does not say that 999 lines were left out:\n%s", got)
	}
	if got := h.status(); got[reasonOther] != 1_001 || got[reasonTurnedAway] != 1_000 {
		t.Errorf("the counts are %v", got)
	}
}
