package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// raw sends the text of a request over a connection of its own, and returns the response.
func (c *caller) raw(t *testing.T, method, request string) reply {
	t.Helper()
	conn, err := net.Dial("tcp", c.egress)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("the response to %q: %v", request, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("the response to %q: %v", request, err)
	}
	return reply{status: resp.StatusCode, header: resp.Header, body: string(body)}
}

// named returns a handler that answers with the name of its service and with the host of the request.
func named(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%s %s", name, r.Host) }
}

// TestHosts shows that a request reaches its service however the caller writes the host.
func TestHosts(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	hosts := map[string]string{
		"payments": `[payments, payments.shop.svc.cluster.local]`,
		"exact":    `[api.example.com]`,
		"wild":     `["*.example.com"]`,
		"deep":     `["*.a.example.com"]`,
		"v6":       `["[fd00::1]"]`,
		"v6bare":   `["FD00:0::2"]`,
		"v4":       `[10.0.0.7]`,
		"idn":      `[xn--bcher-kva.example]`,
	}
	var documents strings.Builder
	for name, list := range hosts {
		u := newUpstream(t, ip)
		u.behave(named(name))
		documents.WriteString(service(name, u.address, "hosts: "+list))
	}
	m := newMesh(t, ip, documents.String())
	cases := []struct{ host, want string }{ // the service, and the host that it sees
		{"payments", "payments payments"},
		{"PAYMENTS", "payments PAYMENTS"},
		{"payments:8080", "payments payments:8080"},
		{"payments.", "payments payments"},
		{"payments.:8080", "payments payments:8080"},
		{"payments.shop.svc.cluster.local", "payments payments.shop.svc.cluster.local"},
		{"payments.shop.svc.cluster.local.", "payments payments.shop.svc.cluster.local"},
		{"Payments.Shop.SVC.cluster.local.:80", "payments Payments.Shop.SVC.cluster.local:80"},
		{"api.example.com", "exact api.example.com"},
		{"api.example.com.", "exact api.example.com"},
		{"www.example.com", "wild www.example.com"},
		{"www.example.com.:1", "wild www.example.com:1"},
		{"x.y.example.com", "wild x.y.example.com"},
		{"x.a.example.com.", "deep x.a.example.com"},
		{"[fd00::1]", "v6 [fd00::1]"},
		{"[fd00::1]:8080", "v6 [fd00::1]:8080"},
		{"[FD00::1]:8080", "v6 [FD00::1]:8080"},
		{"[fd00::2]", "v6bare [fd00::2]"},
		{"[fd00:0::2]:80", "v6bare [fd00:0::2]:80"},
		{"10.0.0.7", "v4 10.0.0.7"},
		{"10.0.0.7:80", "v4 10.0.0.7:80"},
		{"xn--bcher-kva.example", "idn xn--bcher-kva.example"},
		{"XN--BCHER-KVA.example.", "idn XN--BCHER-KVA.example"},
	}
	for _, c := range cases {
		for _, form := range []string{"GET / HTTP/1.1\r\nhost: %s\r\n\r\n", "GET http://%s/ HTTP/1.1\r\nhost: nobody\r\n\r\n"} {
			if r := m.raw(t, "GET", fmt.Sprintf(form, c.host)); r.status != 200 || r.body != c.want {
				t.Errorf("%q for %s: got %d %q, want %q", form, c.host, r.status, r.body, c.want)
			}
		}
	}
	for _, host := range []string{"example.com", "nobody", "payments..", "[fd00::3]", "fd00::1", ".", "payments.shop"} {
		if r := m.raw(t, "GET", "GET / HTTP/1.1\r\nhost: "+host+"\r\n\r\n"); r.status != 404 || !strings.Contains(r.body, "no upstream") {
			t.Errorf("%s: got %d %q, want 404 that names the reason", host, r.status, r.body)
		}
	}
}

// TestUnusualRequests shows that the proxy passes on requests that a server would accept, and explains what it cannot do.
func TestUnusualRequests(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	u.behave(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %q", r.Method, r.RequestURI, r.Header.Get("Upgrade"))
	})
	m := newMesh(t, ip, service("payments", u.address)+guard("payments"))
	cases := []struct {
		request string
		status  int
		body    string
	}{
		{"OPTIONS * HTTP/1.1\r\nhost: payments\r\n\r\n", 501, "breakwater: this proxy passes on no request for a server as a whole"},
		{"OPTIONS /a HTTP/1.1\r\nhost: payments\r\n\r\n", 200, `OPTIONS /a ""`},
		{"GET /a HTTP/1.1\r\nhost: payments\r\nconnection: upgrade\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n", 200, `GET /a ""`},
		{"GET /a HTTP/1.1\r\nhost: payments\r\nconnection: upgrade\r\nupgrade: TLS/1.2\r\n\r\n", 200, `GET /a ""`},
		{"GET /a HTTP/1.1\r\nhost: payments\r\nconnection: Upgrade\r\nupgrade: example/2, other\r\n\r\n", 200, `GET /a ""`},
		{"GET /a HTTP/1.1\r\nhost: payments\r\nconnection: upgrade\r\nupgrade: websockets\r\n\r\n", 200, `GET /a ""`},
		{"GET /a HTTP/1.1\r\nhost: payments\r\nconnection: upgrade\r\nupgrade: w\r\n\r\n", 200, `GET /a ""`},
		{"GET /a HTTP/1.1\r\nhost: payments\r\nupgrade: websocket\r\n\r\n", 200, `GET /a ""`},
		{"CONNECT payments:443 HTTP/1.1\r\nhost: payments:443\r\n\r\n", 405, "breakwater: this proxy makes no tunnels"},
		{"CONNECT nobody:443 HTTP/1.1\r\nhost: nobody:443\r\n\r\n", 405, "breakwater: this proxy makes no tunnels"},
		{"TRACE /a HTTP/1.1\r\nhost: payments\r\n\r\n", 200, `TRACE /a ""`},
	}
	for _, c := range cases {
		method, _, _ := strings.Cut(c.request, " ")
		if r := m.raw(t, method, c.request); r.status != c.status || !strings.HasPrefix(r.body, c.body) {
			t.Errorf("%q: got %d %q %v, want %d %q", c.request, r.status, r.body, r.header, c.status, c.body)
		}
	}
}

// TestProxyAddsNoHeaders shows that a caller gets only the headers of its service.
func TestProxyAddsNoHeaders(t *testing.T) {
	t.Parallel()
	for _, p := range paths {
		t.Run(p.dataPath, func(t *testing.T) {
			t.Parallel()
			ip := ownIP(t)
			u := newUpstream(t, ip)
			m := newMesh(t, ip, service("payments", u.address)+policyFor("payments", "dataPath: "+p.dataPath,
				"breaker: {consecutiveFailures: 1, failureRateThreshold: 0%, waitDurationInOpenState: 1h}"))
			for _, status := range []int{http.StatusOK, http.StatusInternalServerError, http.StatusServiceUnavailable} {
				u.behave(answer(status))
				if status == http.StatusServiceUnavailable {
					m.state(t, "payments", "open") // the fallback
					m.rejects(t, "payments")
				}
				r := m.must(t, "payments", status)
				for name := range r.header {
					switch name {
					case "Content-Length", "Content-Type", "Date", "Retry-After":
					default:
						t.Errorf("with status %d: %s: %q", status, name, r.header.Get(name))
					}
				}
			}
		})
	}
}
