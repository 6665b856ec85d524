package xds

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// checkTransparency wants neither side to notice the proxy, except by the request header that says by which protocol the
// application sent the request.
func checkTransparency(t *testing.T, egress string) {
	conn := dialEgress(t, egress)
	fmt.Fprint(conn, "GET /a//b/../c%2Fd?e HTTP/1.1\r\nHost: web\r\nConnection: close\r\nX-Mine: 1\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	want := "GET web /a//b/../c%2Fd?e\n" +
		"X-Forwarded-Proto: http\r\nX-Mine: 1\r\n"
	if diff := cmp.Diff(want, string(body)); diff != "" {
		t.Errorf("the upstream got (-want +got)\n%s", diff)
	}
	resp.Header.Del(routeHeader) // the test's own
	names := slices.Sorted(maps.Keys(resp.Header))
	if got := resp.Header.Get("Server"); got != "echo" || !slices.Equal(names, []string{"Content-Length", "Content-Type", "Date", "Server"}) {
		t.Errorf("the caller got the headers %v, want the upstream's own", resp.Header)
	}
}

func dialEgress(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func checkProxyRequest(t *testing.T, egress string) {
	transport := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: egress})}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get("http://web:8080/x")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.HasPrefix(string(body), "GET web:8080 /x\n") {
		t.Errorf("got %q, %v, want the echo of web", body, err)
	}
}

func checkUpgrade(t *testing.T, egress string) {
	conn := dialEgress(t, egress)
	fmt.Fprint(conn, "GET /ws HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	reader := bufio.NewReader(conn)
	resp, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got status %d, want 101", resp.StatusCode)
	}
	if got, err := io.ReadAll(reader); err != nil || string(got) != "switched" {
		t.Errorf("after the upgrade: got %q, %v, want %q", got, err, "switched")
	}
}

// The route's timeout is 300 ms; the client's own deadline counts where it is shorter.
func checkGRPCDeadlines(t *testing.T, egress string) {
	cases := []struct{ grpcTimeout, message string }{
		{"", "upstream request timeout"},
		{"9S", "upstream request timeout"},
		{"100m", "downstream duration timeout"},
	}
	for _, c := range cases {
		// 4 is DEADLINE_EXCEEDED.
		if status, message := callGRPC(t, egress, "hunggrpc", c.grpcTimeout); status != "4" || message != c.message {
			t.Errorf("grpc-timeout %q: got status %s %q, want 4 %q", c.grpcTimeout, status, message, c.message)
		}
	}
}

// callGRPC makes a gRPC call whose response has headers only.
func callGRPC(t *testing.T, egress, host, timeout string) (status, message string) {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+egress+"/s/m", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	req.Header.Set("Content-Type", "application/grpc+proto")
	if timeout != "" {
		req.Header.Set("Grpc-Timeout", timeout)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.Header.Get("Grpc-Status"), resp.Header.Get("Grpc-Message")
}
