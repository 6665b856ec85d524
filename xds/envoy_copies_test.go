package xds

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/prototext"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
)

// reader is a control plane that keeps what proxies log.
type reader struct {
	alsv3.UnimplementedAccessLogServiceServer
	logged chan string
}

func (r *reader) StreamAccessLogs(stream alsv3.AccessLogService_StreamAccessLogsServer) error {
	for {
		m, err := stream.Recv()
		if err != nil {
			return nil // the proxy is gone
		}
		for _, entry := range m.GetHttpLogs().GetLogEntry() {
			r.logged <- prototext.Format(entry)
		}
	}
}

// TestKeysOfCopiesStayInTheProxy: what tells requests apart for copies of responses has what
// callers say in confidence, so it is not logged with the call.
func TestKeysOfCopiesStayInTheProxy(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(echo))
	defer web.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	control := &reader{logged: make(chan string, 10)}
	server := grpc.NewServer()
	alsv3.RegisterAccessLogServiceServer(server, control)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	b := guardedBy("web", true)
	b.DataPath, b.Spec.Config.Mode = policy.Adaptive, breaker.Enforce
	b.Fallback.Response.Status = http.StatusServiceUnavailable
	b.Fallback.Cached = &policy.Cached{
		TTL: time.Minute, MaxEntries: 10, MaxBytes: 1 << 20, MaxBodyBytes: 1 << 10, WithCredentials: true, KeyHeaders: []string{policy.AllHeaders},
	}
	set := &policy.Set{Upstreams: []*policy.Upstream{webUpstream("web", portOf(t, web), policy.HTTP1, policy.Route{Breaker: b})}}
	egress := startEnvoy(t, set, uint16(listener.Addr().(*net.TCPAddr).Port))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+egress+"/account", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "web"
	r.Header.Set("Authorization", "in-confidence-1")
	r.Header.Set("X-User-Id", "in-confidence-2")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	select {
	case entry := <-control.logged:
		if !strings.Contains(entry, "/account") || strings.Contains(entry, "in-confidence") {
			t.Errorf("the log of a call to /account has its headers:\n%s", entry)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the call is not in the log")
	}
}
