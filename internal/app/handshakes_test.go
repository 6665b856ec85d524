package app

import (
	"crypto/tls"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater.dev/telemetry"
)

// text is a log that several write to.
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

// TestHandshakesOfTheHTTPPort: what net/http writes of a handshake that failed is logged and counted
// as one of the port for proxies is. The sentences are those of the Go that this is built with.
func TestHandshakesOfTheHTTPPort(t *testing.T) {
	t.Parallel()
	var lines text
	h := newHandshakes(slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug})), time.Now)
	h.lines.Every = 0 // a line for each
	web := httptest.NewUnstartedServer(http.NotFoundHandler())
	web.Config.ErrorLog = log.New(webErrors{h}, "", 0)
	web.Config.ReadHeaderTimeout = 3 * time.Second
	web.StartTLS()
	defer web.Close()
	address := web.Listener.Addr().String()
	for reason, connect := range map[string]func(c net.Conn){
		telemetry.HandshakeRefusedByPeer: func(c net.Conn) { _ = tls.Client(c, &tls.Config{ServerName: "a"}).Handshake() }, // knows no such CA
		telemetry.HandshakeNotTLS:        func(c net.Conn) { _, _ = c.Write([]byte("GET / HTTP/1.1\r\n\r\n")) },
		telemetry.HandshakeClosed:        func(net.Conn) {},
		telemetry.HandshakeTimeout:       func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }, // until the server has had enough
	} {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		connect(c)
		c.Close()
		want := "port=HTTP remote=" + c.LocalAddr().String() + " reason=" + reason
		eventually(t, reason, func() error {
			if h.status()[reason] == 0 || !strings.Contains(lines.String(), want) {
				return fmt.Errorf("not counted, or no line with %s: %v\n%s", want, h.status(), &lines)
			}
			return nil
		})
	}
}
