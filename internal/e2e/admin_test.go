package e2e

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAdminDoesNotOverrideGates shows that a process that reaches the proxy's admin interface cannot change a gate: it can
// neither let calls pass an open breaker, nor reject calls of a closed one.
func TestAdminDoesNotOverrideGates(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address)+adaptive("payments", "breaker: {consecutiveFailures: 1, waitDurationInOpenState: 10m}")+
		service("closed", u.address)+adaptive("closed"))
	u.behave(answer(http.StatusInternalServerError))
	m.must(t, "payments", http.StatusInternalServerError)
	m.state(t, "payments", "open")
	m.answers(t, "payments", http.StatusServiceUnavailable)
	u.behave(answer(http.StatusOK))
	calls := u.calls.Load()
	for _, key := range runtimeKeys(t, m) {
		for _, change := range []string{key + "=0", strings.Replace(key, "payments", "closed", 1) + "=100"} {
			resp, err := http.Post("http://"+ip+":9901/runtime_modify?"+change, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusServiceUnavailable || string(body) != "No admin layer specified" {
				t.Errorf("%s: got %d %q, %v, want that the change is refused", change, resp.StatusCode, body, err)
			}
		}
	}
	for range 20 {
		m.must(t, "payments", http.StatusServiceUnavailable)
	}
	if got := u.calls.Load(); got != calls {
		t.Errorf("%d calls passed an open breaker", got-calls)
	}
	for range 20 {
		m.must(t, "closed", http.StatusOK)
	}
}

// TestAdminOnASocket shows that the admin interface can be on a socket instead of a port, and that only Envoy's own user
// may use the socket.
func TestAdminOnASocket(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := prepareMesh(t, ip, service("payments", u.address))
	m.startControl(t)
	socket := filepath.Join(t.TempDir(), "admin.sock")
	m.launchEnvoy(t, m.bootstrap(t, "--admin", "unix:"+socket, "--ready", ip+":15021"))
	m.ready(t, m.envoy, "http://"+ip+":15021/ready")
	m.must(t, "payments", http.StatusOK)

	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://envoy/ready")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "LIVE\n" {
		t.Errorf("the socket answers %q, %v", body, err)
	}
	if _, err := fetch("http://" + ip + ":9901/ready"); err == nil {
		t.Error("the port is open as well")
	}
	info, err := os.Stat(socket)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("the socket's mode is %s", mode)
	}
}

// TestReadiness shows that the readiness port answers 503 while applications cannot send requests, and that it has no other
// pages.
func TestReadiness(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	m := prepareMesh(t, ip, service("payments", newUpstream(t, ip).address))
	page := "http://" + ip + ":15021/ready"
	// Without a control plane the proxy never has a listener for applications.
	m.launchEnvoy(t, strings.ReplaceAll(m.bootstrap(t, "--ready", ip+":15021"), "lds_config:\n", "lds_config:\n    initial_fetch_timeout: 1s\n"))
	eventually(t, "the proxy reports that it is not ready", func() error {
		_, err := fetch(page)
		if err == nil {
			t.Fatal("the proxy is ready without a listener")
		}
		if !strings.Contains(err.Error(), "status 503") {
			return err
		}
		return nil
	})
	m.startControl(t)
	m.ready(t, m.envoy, page)
	if _, err := net.Dial("tcp", m.egress); err != nil {
		t.Errorf("the proxy is ready, and its listener is closed: %v", err)
	}
	for _, other := range []string{"/", "/stats", "/quitquitquit", "/ready/.."} {
		if _, err := fetch("http://" + ip + ":15021" + other); err == nil || !strings.Contains(err.Error(), "status 404") {
			t.Errorf("%s: %v, want status 404", other, err)
		}
	}
}

// runtimeKeys returns the keys of the runtime layer that the control plane has sent.
func runtimeKeys(t *testing.T, m *mesh) []string {
	t.Helper()
	text, err := fetch("http://" + m.ip + ":9901/runtime")
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Entries map[string]any `json:"entries"`
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for key := range r.Entries {
		if strings.HasPrefix(key, "breakwater.") {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		t.Fatalf("the runtime has no gates:\n%s", text)
	}
	return keys
}
