package xds

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"

	overloadv3 "github.com/envoyproxy/go-control-plane/envoy/config/overload/v3"
	connectionsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"

	"breakwater.dev/policy"
	"breakwater.dev/xds/bootstrap"
	"breakwater.dev/xds/internal/message"
)

// startReady runs a real Envoy with a readiness listener and an egress listener that takes one connection. It returns the
// addresses of both.
func startReady(t *testing.T) (ready, egress string) {
	t.Helper()
	loopback := netip.MustParseAddr("127.0.0.1")
	o := proxyOptions()
	o.Listen, o.Ready = netip.AddrPortFrom(loopback, refusingPort(t)), netip.AddrPortFrom(loopback, refusingPort(t))
	b, err := bootstrap.New(o)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := Translate(&policy.Set{}, netip.AddrPortFrom(loopback, 0))
	if err != nil {
		t.Fatal(err)
	}
	applications := static(t, rs)
	b.StaticResources.Listeners = append(applications.StaticResources.Listeners, b.StaticResources.Listeners...)
	limit, err := message.Pack(&connectionsv3.DownstreamConnectionsConfig{MaxActiveDownstreamConnections: 1})
	if err != nil {
		t.Fatal(err)
	}
	b.OverloadManager.ResourceMonitors[0].ConfigType = &overloadv3.ResourceMonitor_TypedConfig{TypedConfig: limit}
	return o.Ready.String(), startEnvoyOn(t, b, refusingPort(t))
}

// asked returns what a connection answers to a request, or an error where the proxy has closed it.
func asked(conn net.Conn, request string) (string, error) {
	if _, err := io.WriteString(conn, request); err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err
	}
	return resp.Status, resp.Body.Close()
}

// TestReadinessListenerIsApart: other hosts reach it, so it takes no HTTP/2 and no connection away from applications, and has
// a limit of its own.
func TestReadinessListenerIsApart(t *testing.T) {
	ready, egress := startReady(t)
	const http1, http2 = "GET /ready HTTP/1.1\r\nHost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	other := dialEgress(t, ready)
	if got, err := asked(other, http2); err != nil || got != "400 Bad Request" {
		t.Errorf("HTTP/2 at the readiness listener: got %q, %v, want 400", got, err)
	}
	other.Close() // the proxy notices before the connections below are as many as it takes
	for i := range bootstrap.ReadinessConnections {
		if got, err := asked(dialEgress(t, ready), http1); err != nil || got != "503 Service Unavailable" {
			t.Fatalf("connection %d: got %q, %v, want 503: nothing listens where it looks", i, got, err)
		}
	}
	if got, err := asked(dialEgress(t, ready), http1); err == nil {
		t.Errorf("connection %d to the readiness listener is answered with %q, want it closed", bootstrap.ReadinessConnections+1, got)
	}
	if got, err := asked(dialEgress(t, egress), "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil || got != "404 Not Found" {
		t.Errorf("an application beside %d readiness connections: got %q, %v, want 404", bootstrap.ReadinessConnections, got, err)
	}
	if got, err := asked(dialEgress(t, egress), "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err == nil {
		t.Errorf("one connection more than applications may have is answered with %q, want it closed", got)
	}
}
