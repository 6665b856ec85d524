package xds

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/envoybin"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/connect"
	"breakwater.dev/xds/internal/route"
)

// startEnvoy runs a real Envoy on what set translates to, with a control plane at
// the given port, and returns the address of its egress listener.
func startEnvoy(t *testing.T, set *policy.Set, controlPlane uint16) string {
	t.Helper()
	loopback := netip.MustParseAddr("127.0.0.1")
	rs, err := Translate(set, netip.AddrPortFrom(loopback, 0))
	if err != nil {
		t.Fatal(err)
	}
	return startEnvoyOn(t, static(t, rs), controlPlane)
}

// startEnvoyOn runs a real Envoy on a bootstrap, with ports of its own.
func startEnvoyOn(t *testing.T, b *bootstrapv3.Bootstrap, controlPlane uint16) string {
	egress, _ := startEnvoyAt(t, b, controlPlane)
	return egress
}

// startEnvoyAt is startEnvoyOn that returns the address of the admin interface too.
func startEnvoyAt(t *testing.T, b *bootstrapv3.Bootstrap, controlPlane uint16) (egress, admin string) {
	t.Helper()
	loopback := netip.MustParseAddr("127.0.0.1")
	keepStatic(b)
	b.Admin.Address = connect.Address(netip.AddrPortFrom(loopback, 0))
	b.StaticResources.Clusters[0].LoadAssignment = connect.To(wire.ControlPlaneCluster, connect.Host{Name: loopback.String(), Port: controlPlane})
	path, _ := writeBootstrap(t, b)
	adminFile, log := filepath.Join(t.TempDir(), "admin"), new(strings.Builder)
	cmd := exec.CommandContext(t.Context(), envoybin.Path(t), "-c", path, "-l", "warning",
		"--component-log-level", "ext_proc:error", // as deploy/envoy/README.md advises
		"--concurrency", "1", "--disable-hot-restart", "--admin-address-path", adminFile)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(func() {
		cancel()
		if err := cmd.Process.Kill(); err != nil {
			t.Errorf("stopping Envoy: %v", err)
		}
		_ = cmd.Wait() // says that it was killed
		if t.Failed() {
			t.Logf("Envoy's log:\n%s", log)
		}
	})
	egress, err := egressOf(ctx, adminFile)
	if err != nil {
		t.Fatalf("waiting for Envoy: %v", err)
	}
	at, err := os.ReadFile(adminFile)
	if err != nil {
		t.Fatal(err)
	}
	return egress, string(at)
}

// egressOf asks Envoy's admin interface until the egress listener is there.
func egressOf(ctx context.Context, adminFile string) (string, error) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		if admin, err := os.ReadFile(adminFile); err == nil {
			if egress := listening(ctx, string(admin)); egress != "" {
				return egress, nil
			}
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-ticker.C:
		}
	}
}

// listening returns the address of the first listener, once Envoy is live.
func listening(ctx context.Context, admin string) string {
	ready, err := fetch(ctx, "http://"+admin+"/ready")
	if err != nil || !strings.HasPrefix(ready, "LIVE") {
		return ""
	}
	text, err := fetch(ctx, "http://"+admin+"/listeners?format=json")
	if err != nil {
		return ""
	}
	var list struct {
		Listeners []struct {
			Local struct {
				Socket struct {
					Address string `json:"address"`
					Port    int    `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	if json.Unmarshal([]byte(text), &list) != nil || len(list.Listeners) == 0 {
		return ""
	}
	socket := list.Listeners[0].Local.Socket
	return net.JoinHostPort(socket.Address, fmt.Sprint(socket.Port))
}

func fetch(ctx context.Context, target string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func refusingPort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// hungPort accepts connections and says nothing.
func hungPort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

func portOf(t *testing.T, s *httptest.Server) uint16 {
	t.Helper()
	return s.Listener.Addr().(*net.TCPAddr).AddrPort().Port()
}

// echo answers with what it got; it says which protocol an upgrade asked for.
func echo(w http.ResponseWriter, r *http.Request) {
	if protocol := r.Header.Get("Upgrade"); protocol != "" {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", protocol)
		w.WriteHeader(http.StatusSwitchingProtocols)
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			fmt.Fprint(conn, "switched")
			conn.Close()
		}
		return
	}
	w.Header().Set("Server", "echo")
	fmt.Fprintf(w, "%s %s %s\n", r.Method, r.Host, r.RequestURI)
	_ = r.Header.WriteSubset(w, nil)
}

func webUpstream(name string, port uint16, protocol policy.Protocol, routes ...policy.Route) *policy.Upstream {
	limits := policy.Limits{MaxConnections: 1024, MaxPendingRequests: 1024, MaxRequests: 1024, MaxRetries: 3}
	return &policy.Upstream{
		Name: name, Hosts: []string{name}, Protocol: protocol,
		Endpoints:     []policy.Endpoint{{Address: netip.MustParseAddr("127.0.0.1"), Port: port, Weight: 1}},
		LoadBalancing: policy.LoadBalancing{Policy: policy.LeastRequest},
		Limits:        policy.ConnectionLimits{Default: limits, High: limits},
		Routes:        routes,
	}
}

func guardedBy(upstream string, failOpen bool) *policy.Breaker {
	return &policy.Breaker{
		Spec: breaker.Spec{Key: breaker.Key{Upstream: upstream}}, FailOpen: failOpen,
		Fallback: policy.Fallback{Response: policy.Response{Status: 503, Body: "the fallback"}},
	}
}

// servedSet has upstreams that behave in all the ways that matter.
func servedSet(t *testing.T) *policy.Set {
	t.Helper()
	web := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(web.Close)
	pair := certificate(t)
	cert, err := tls.LoadX509KeyPair(pair.certFile, pair.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	secure := httptest.NewUnstartedServer(http.HandlerFunc(echo))
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	secure.StartTLS()
	t.Cleanup(secure.Close)
	hung := hungPort(t)

	slow, quick := policy.Route{Timeout: 10 * time.Second}, policy.Route{Timeout: 300 * time.Millisecond}
	tlsTo := func(name string) *policy.Upstream {
		u := webUpstream(name, portOf(t, secure), policy.HTTP1, slow)
		u.TLS = &policy.TLS{SNI: name, CAFile: pair.certFile}
		return u
	}
	named := webUpstream("named", portOf(t, web), policy.HTTP1, slow)
	named.Endpoints, named.DNS = nil, &policy.DNS{Name: "localhost", Port: portOf(t, web)}
	return &policy.Set{Upstreams: []*policy.Upstream{
		webUpstream("failclosed", portOf(t, web), policy.HTTP1, policy.Route{Breaker: guardedBy("failclosed", false)}),
		webUpstream("failopen", portOf(t, web), policy.HTTP1, policy.Route{Breaker: guardedBy("failopen", true)}),
		webUpstream("hung", hung, policy.HTTP1, quick),
		webUpstream("hunggrpc", hung, policy.GRPC, quick),
		tlsTo("impostor"),
		tlsTo("localhost"),
		named,
		webUpstream("refused", refusingPort(t), policy.HTTP1, slow),
		webUpstream("web", portOf(t, web), policy.HTTP1,
			policy.Route{Name: "charge", Match: policy.Match{PathPrefix: "/charge", Methods: []string{"POST", "PUT"}}, Timeout: time.Second},
			policy.Route{Name: "list", Match: policy.Match{PathPrefix: "/list/"}, Timeout: 2 * time.Second},
			policy.Route{Name: "exact", Match: policy.Match{Path: "/exact"}, Timeout: 3 * time.Second},
			slow),
	}}
}

func TestEnvoyServesWithoutAControlPlane(t *testing.T) {
	egress := startEnvoy(t, servedSet(t), refusingPort(t))
	t.Run("hosts", func(t *testing.T) { checkHosts(t, egress) })
	t.Run("routes", func(t *testing.T) { checkRoutes(t, egress) })
	t.Run("transparent", func(t *testing.T) { checkTransparency(t, egress) })
	t.Run("as a proxy", func(t *testing.T) { checkProxyRequest(t, egress) })
	t.Run("upgrade", func(t *testing.T) { checkUpgrade(t, egress) })
	t.Run("gRPC deadlines", func(t *testing.T) { checkGRPCDeadlines(t, egress) })
}

// callEgress sends a request to the egress listener; target is method, host and path.
// The body that it returns has the response's headers behind it.
func callEgress(t *testing.T, egress, target string) (status int, body string) {
	t.Helper()
	parts := strings.Fields(target)
	req, err := http.NewRequestWithContext(t.Context(), parts[0], "http://"+egress+parts[2], nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = parts[1]
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data) + strings.ToLower(fmt.Sprint(resp.Header))
}

func checkHosts(t *testing.T, egress string) {
	cases := []struct {
		host   string
		status int
		body   string // how it begins
	}{
		{"web", 200, "GET web /"},
		{"web:8080", 200, "GET web:8080 /"},
		{"WEB", 200, "GET WEB /"},
		{"named", 200, "GET named /"},
		{"localhost", 200, "GET localhost /"},
		{"impostor", 503, "upstream connect error"}, // its certificate is for localhost
		{"refused", 503, "upstream connect error"},
		{"hung", 504, "upstream request timeout"},
		{"nobody", 404, route.NoUpstream},
		{"failopen", 200, "GET failopen /"},
		{"failclosed", 503, "the fallback"},
	}
	for _, c := range cases {
		status, body := callEgress(t, egress, "GET "+c.host+" /")
		if status != c.status || !strings.HasPrefix(body, c.body) {
			t.Errorf("%s: got %d %q, want %d %q", c.host, status, body, c.status, c.body)
		}
	}
}

func checkRoutes(t *testing.T, egress string) {
	const charge, list, exact, rest = "web/charge", "web/list", "web/exact", "web"
	cases := []struct{ request, want string }{
		{"POST web /charge", charge}, {"PUT web /charge/7", charge}, {"POST web /charge?id=7", charge},
		{"POST web /charge/", charge}, {"GET web /charge", rest}, {"POST web /chargeback", rest},
		{"POST web /Charge", rest}, {"OPTIONS web /charge", rest},
		{"GET web /list/", list}, {"GET web /list/7", list}, {"GET web /list", rest},
		{"GET web /exact", exact}, {"GET web /exact?q", exact}, {"GET web /exact/", rest}, {"GET web /", rest},
	}
	for _, c := range cases {
		_, body := callEgress(t, egress, c.request)
		if want := routeHeader + ":[" + c.want + "]"; !strings.Contains(body, want) {
			t.Errorf("%s: no %q in %q", c.request, want, body)
		}
	}
}
