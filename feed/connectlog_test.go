package feed

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"

	"breakwater.dev/internal/untrusted"
	"breakwater.dev/wire"
)

// TestConnectLog: why connections fail is logged once a minute for each breaker, in one line of bounded length, whatever a
// proxy sends.
func TestConnectLog(t *testing.T) {
	r := newRig(t)
	var log bytes.Buffer
	r.server.options.Log = slog.New(slog.NewTextHandler(&log, nil))
	failed := func(reason string) func(*datav3.HTTPAccessLogEntry) {
		return func(e *datav3.HTTPAccessLogEntry) {
			unanswered(time.Millisecond, &datav3.ResponseFlags{UpstreamConnectionFailure: true})(e)
			e.CommonProperties.UpstreamTransportFailureReason = reason
			e.CommonProperties.UpstreamRemoteAddress = remote("10.0.0.1:80")
		}
	}
	const reason = "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED"
	wantLines := func(what string, want int) {
		t.Helper()
		if got := strings.Count(log.String(), "\n"); got != want {
			t.Fatalf("%s: %d lines, want %d:\n%s", what, got, want, log.String())
		}
	}
	r.take(r.logged(route("web", wire.RouteClosed), failed("")), r.logged(route("web", wire.RouteSampled), nil))
	wantLines("no reason", 0)
	r.take(r.logged(route("web", wire.RouteClosed), failed(reason)), r.logged(route("web", wire.RouteSampled), failed(reason)), r.logged(route("web", wire.RouteClosed), failed(reason)))
	wantLines("three calls", 1)
	for _, part := range []string{"service=web", "node=one", "endpoint=10.0.0.1:80", reason} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("no %q in %s", part, log.String())
		}
	}
	r.take(r.logged(route("own", wire.RouteClosed), failed(strings.Repeat("a\x1b\n", 1<<20))))
	wantLines("another breaker", 2)
	if log.Len() > untrusted.MessageLength+1000 || strings.ContainsRune(log.String(), '\x1b') {
		t.Errorf("%d bytes of log", log.Len())
	}
	r.now = r.now.Add(connectLogInterval - time.Second)
	r.take(r.logged(route("web", wire.RouteClosed), failed(reason)))
	wantLines("within a minute", 2)
	r.now = r.now.Add(time.Second)
	r.take(r.logged(route("web", wire.RouteClosed), failed(reason)))
	wantLines("a minute later", 3)
	r.take(r.logged("inline", failed(reason)))
	wantLines("in the data path Inline", 4)
}
