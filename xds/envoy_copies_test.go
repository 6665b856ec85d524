package xds

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/prototext"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
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

// startCopying runs a real Envoy that keeps copies of the responses of web, and serves them once its runtime says that the
// breaker is open: see openUp.
func startCopying(t *testing.T, answers http.Handler, controlPlane uint16) (egress, admin string) {
	t.Helper()
	web := httptest.NewServer(answers)
	t.Cleanup(web.Close)
	b := guardedBy("web", true)
	b.DataPath, b.Spec.Config.Mode = policy.Adaptive, breaker.Enforce
	b.Fallback.Response.Status = http.StatusServiceUnavailable
	b.Fallback.Cached = &policy.Cached{
		TTL: time.Minute, MaxEntries: 10_000, MaxBytes: 16 << 20, MaxBodyBytes: 1 << 10, WithCredentials: true, KeyHeaders: []string{policy.AllHeaders},
	}
	set := &policy.Set{Upstreams: []*policy.Upstream{webUpstream("web", portOf(t, web), policy.HTTP1, policy.Route{Breaker: b})}}
	rs, err := Translate(set, netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	bootstrap := static(t, rs)
	bootstrap.LayeredRuntime.Layers = append(bootstrap.LayeredRuntime.Layers, &bootstrapv3.RuntimeLayer{
		Name: "test", LayerSpecifier: &bootstrapv3.RuntimeLayer_AdminLayer_{AdminLayer: &bootstrapv3.RuntimeLayer_AdminLayer{}},
	})
	return startEnvoyAt(t, bootstrap, controlPlane)
}

// openUp opens the breaker of web.
func openUp(t *testing.T, egress, admin string) {
	t.Helper()
	resp, err := http.Post("http://"+admin+"/runtime_modify?"+string(wire.ShareKey(breaker.Key{Upstream: "web"}, wire.RouteOpen))+"=100", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	deadline := time.After(30 * time.Second)
	for status := 0; status != http.StatusServiceUnavailable; {
		select {
		case <-deadline:
			t.Fatalf("the breaker does not open: the last call got %d", status)
		default:
			status, _ = callEgress(t, egress, "POST web /")
		}
	}
}

// TestRequestsWithTrailers: over HTTP/2 a request without a body can end with trailers. It is passed on like other
// requests, and the proxy logs no error for it: callers could flood the log with these.
func TestRequestsWithTrailers(t *testing.T) {
	egress, admin := startCopying(t, http.HandlerFunc(echo), refusingPort(t))
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	call := func() int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+egress+"/", io.NopCloser(strings.NewReader("")))
		if err != nil {
			t.Fatal(err)
		}
		r.Host, r.ContentLength, r.Trailer = "web", -1, http.Header{"X-End": {"1"}}
		resp, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := call(); got != http.StatusOK {
		t.Errorf("closed: got %d, want 200", got)
	}
	openUp(t, egress, admin)
	if got := call(); got != http.StatusServiceUnavailable {
		t.Errorf("open: got %d, want the fallback, as such a request has no copy", got)
	}
	stats, err := fetch(t.Context(), "http://"+admin+"/stats?filter=lua")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(stats, "lua.errors: 0\n") {
		t.Errorf("the script failed:\n%s", stats)
	}
}

// TestSlowResponsesOfABusyProxy: a response is kept however many requests came while it was on its way.
func TestSlowResponsesOfABusyProxy(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	egress, admin := startCopying(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(arrived)
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
		echo(w, r)
	}), refusingPort(t))
	slow, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+egress+"/slow", nil)
	if err != nil {
		t.Fatal(err)
	}
	slow.Host = "web"
	done := make(chan error, 1)
	go func() {
		resp, err := http.DefaultClient.Do(slow)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		done <- err
	}()
	<-arrived
	for i := range 2000 {
		if status, _ := callEgress(t, egress, fmt.Sprintf("GET web /%d", i)); status != http.StatusOK {
			t.Fatalf("call %d: got %d", i, status)
		}
	}
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	openUp(t, egress, admin)
	if status, body := callEgress(t, egress, "GET web /slow"); status != http.StatusOK {
		t.Errorf("got %d %q, want the copy", status, body)
	}
}

// TestKeysOfCopiesStayInTheProxy: the key of a copy holds confidential headers of the request, so the proxy does not log it.
func TestKeysOfCopiesStayInTheProxy(t *testing.T) {
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
	egress, _ := startCopying(t, http.HandlerFunc(echo), uint16(listener.Addr().(*net.TCPAddr).Port))
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
