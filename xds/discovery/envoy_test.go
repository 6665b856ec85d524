package discovery

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"

	"breakwater.dev/internal/envoybin"
	"breakwater.dev/wire"
	"breakwater.dev/xds"
	"breakwater.dev/xds/bootstrap"
)

// patience bounds every wait for something that must happen.
const patience = 20 * time.Second

// envoyTTL is short, so that a test sees several.
const envoyTTL = time.Second

// hold keeps what is sent to proxies back, as a control plane does that hangs.
type hold struct {
	mu    sync.Mutex
	until chan struct{} // nil: nothing is held back
}

func (h *hold) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.until = make(chan struct{})
}

func (h *hold) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.until)
	h.until = nil
}

func (h *hold) intercept(srv any, st grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	return next(srv, heldStream{ServerStream: st, hold: h})
}

type heldStream struct {
	grpc.ServerStream
	hold *hold
}

func (s heldStream) SendMsg(m any) error {
	s.hold.mu.Lock()
	until := s.hold.until
	s.hold.mu.Unlock()
	if until != nil {
		select {
		case <-until:
		case <-s.Context().Done():
			return s.Context().Err()
		}
	}
	return s.ServerStream.SendMsg(m)
}

// realProxy is a real Envoy, and the server that it is connected to.
type realProxy struct {
	t      *testing.T
	server *Server
	hold   *hold
	lapses *lapses
	admin  netip.AddrPort
	egress netip.AddrPort
	client *http.Client
}

// lapses counts the renewals that a proxy refuses because it has dropped a layer.
type lapses struct {
	slog.Handler
	n atomic.Int64
}

func (l *lapses) Enabled(context.Context, slog.Level) bool { return true }

func (l *lapses) Handle(_ context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "proxy had dropped") {
		l.n.Add(1)
	}
	return nil
}

// asPrinted leaves a bootstrap as it is.
func asPrinted(text string) string { return text }

// sotw has a bootstrap use SotW, for which it needs one layer.
func sotw(text string) string { return strings.ReplaceAll(ownStream(text), "DELTA_GRPC", "GRPC") }

// bootstraps says what each variant of the protocol needs in a bootstrap.
var bootstraps = map[string]func(text string) string{"DELTA_GRPC": asPrinted, "GRPC": sotw}

// startProxy runs an Envoy that gets two upstreams: see [realProxy.run].
func startProxy(t *testing.T, edit func(text string) string, ports uint16, services ...func(grpc.ServiceRegistrar)) *realProxy {
	t.Helper()
	p := newProxy(t)
	publish(t, p.server, a, b)
	p.run(edit, ports, services...)
	return p
}

// newProxy returns a proxy that does not run yet, and whose server has no policy.
func newProxy(t *testing.T) *realProxy {
	p := &realProxy{t: t, hold: &hold{}, lapses: &lapses{Handler: slog.DiscardHandler}, client: &http.Client{Transport: &http.Transport{}}}
	p.server = NewServer(Options{Log: slog.New(p.lapses), Now: time.Now, TTL: envoyTTL})
	return p
}

// run launches the proxy, and returns when it is live.
func (p *realProxy) run(edit func(text string) string, ports uint16, services ...func(grpc.ServiceRegistrar)) {
	p.t.Helper()
	p.launch(edit, ports, services...)
	p.await("Envoy is live", func() bool { return strings.HasPrefix(p.page("/ready"), "LIVE") })
}

// launch serves the policy, and starts an Envoy with a bootstrap that edit has changed. Two ports have to be free at the
// address that only this process uses. The control plane has more services where the test gives any.
func (p *realProxy) launch(edit func(text string) string, ports uint16, services ...func(grpc.ServiceRegistrar)) {
	t := p.t
	t.Helper()
	address := p.listen(services...)
	pid := os.Getpid()
	own := netip.AddrFrom4([4]byte{127, byte(64 + pid>>16), byte(pid >> 8), byte(pid)})
	p.admin, p.egress = netip.AddrPortFrom(own, ports), netip.AddrPortFrom(own, ports+1)
	text, err := bootstrap.YAML(bootstrap.Options{
		NodeID: "app-1", NodeCluster: "app", XDS: []string{address},
		Listen: p.egress, Admin: p.admin,
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "envoy.yaml")
	if err := os.WriteFile(path, []byte(edit(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	log := new(strings.Builder)
	cmd := exec.CommandContext(t.Context(), envoybin.Path(t), "-c", path, "-l", "warning", "--concurrency", "1", "--disable-hot-restart")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Errorf("stopping Envoy: %v", err)
		}
		_ = cmd.Wait() // says that it was killed
		p.client.CloseIdleConnections()
		if t.Failed() {
			t.Logf("Envoy's log:\n%s", log)
		}
	})
}

// listen serves the proxy's server until the test is over.
func (p *realProxy) listen(services ...func(grpc.ServiceRegistrar)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(insecure.NewCredentials()), grpc.StreamInterceptor(p.hold.intercept), grpc.ForceServerCodecV2(Codec(encoding.GetCodecV2("proto"))))
	p.server.Register(server)
	for _, register := range services {
		register(server)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	p.t.Cleanup(func() {
		p.server.Close()
		server.Stop()
		if err := <-served; err != nil {
			p.t.Errorf("serving: %v", err)
		}
	})
	return l.Addr().String()
}

// page reads a page of the admin interface; it is empty while there is none.
func (p *realProxy) page(path string) string {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.admin.String()+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return ""
	}
	return string(body)
}

// await looks until a condition holds, and returns how long that took.
func (p *realProxy) await(what string, holds func() bool) time.Duration {
	p.t.Helper()
	began := time.Now()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		if time.Since(began) > patience {
			p.t.Fatalf("after %s: not true that %s", patience, what)
		}
		<-ticker.C
	}
	return time.Since(began)
}

// open returns the share of calls to "a" that the layer of the control plane rejects. It is empty if the layer has no such
// key.
func (p *realProxy) open() string {
	p.t.Helper()
	var runtime struct {
		Entries map[string]struct {
			Final string `json:"final_value"`
		}
	}
	body := p.page("/runtime")
	if err := json.Unmarshal([]byte(body), &runtime); err != nil {
		p.t.Fatalf("reading /runtime: %v\n%s", err, body)
	}
	return runtime.Entries["breakwater.a.open"].Final
}

// ownStream gives a bootstrap one whole layer that has a stream of its own, as bootstraps of earlier versions do.
func ownStream(text string) string {
	begin := strings.Index(text, "    - name: "+wire.RuntimePart(0))
	end := begin + strings.Index(text[begin:], "\nadmin:")
	return text[:begin] + `    - name: breakwater
      rtds_layer:
        name: breakwater
        rtds_config:
          initial_fetch_timeout: 1s
          resource_api_version: V3
          api_config_source:
            api_type: DELTA_GRPC
            transport_api_version: V3
            set_node_on_first_message_only: true
            grpc_services: [{envoy_grpc: {cluster_name: breakwater}}]` + text[end:]
}

// Gates come, stay by heartbeats, fall away with the control plane, and come back. So it is with parts over the stream of all
// resources, and with a whole layer, over a stream of its own in both variants of the protocol.
func TestEnvoyObeysWhileItHears(t *testing.T) {
	for i, tt := range []struct {
		name string
		edit func(string) string
	}{
		{"parts", asPrinted}, {"DELTA_GRPC", ownStream}, {"GRPC", sotw},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := startProxy(t, tt.edit, uint16(20_000+10*i))
			p.await("the proxy has its layer", func() bool { return p.server.Counts()[xds.RuntimeType].Pushes > 0 && !pending(p.server) })
			if got := p.open(); got != "" {
				t.Errorf("without gates the key is %q", got)
			}
			publishGates(t, p.server, time.Time{}, openGate("a", "", wire.Million))
			t.Logf("the key came within %s", p.await("the key is there", func() bool { return p.open() != "" }))

			began := time.Now()
			p.await("three TTLs are over", func() bool {
				if p.open() == "" {
					t.Fatalf("the key is gone after %s, with heartbeats", time.Since(began))
				}
				return time.Since(began) > 3*envoyTTL
			})
			if n := p.lapses.n.Load(); n != 0 {
				t.Errorf("the proxy refused %d heartbeats", n)
			}
			p.hold.begin()
			gone := p.await("the key is gone", func() bool { return p.open() == "" })
			t.Logf("the key fell away after %s", gone)
			// The last heartbeat may have left just now, and the machine may be busy.
			if gone > envoyTTL+envoyTTL/2 {
				t.Errorf("the key stayed for %s without heartbeats, with a TTL of %s", gone, envoyTTL)
			}
			p.hold.end()
			p.await("the key is back", func() bool { return p.open() != "" })

			publishGates(t, p.server, time.Time{})
			if took := p.await("the key is taken back", func() bool { return p.open() == "" }); took > envoyTTL/2 {
				t.Errorf("the proxy still obeyed for %s", took)
			}
			if c := p.server.Counts()[xds.RuntimeType]; c.NACKs != 0 {
				t.Errorf("%d of %d responses were refused", c.NACKs, c.Pushes)
			}
		})
	}
}

// An ejected endpoint is out of rotation, and comes back when the ejection ends.
func TestEnvoyLeavesEjectedEndpointsAlone(t *testing.T) {
	for i, apiType := range []string{"DELTA_GRPC", "GRPC"} {
		t.Run(apiType, func(t *testing.T) {
			p := startProxy(t, bootstraps[apiType], uint16(20_100+10*i))
			flag := func(upstream, value string) func() bool {
				line := fmt.Sprintf("%s::10.0.0.7:80::health_flags::%s\n", upstream, value)
				return func() bool { return strings.Contains(p.page("/clusters"), line) }
			}
			const failed = "/failed_eds_health"
			p.await("a is healthy", flag("a", "healthy"))
			pushes := p.server.Counts()
			eject(t, p.server, "a", "10.0.0.7:80", "10.9.9.9:1")
			p.await("a is ejected", flag("a", failed))
			if !flag("b", "healthy")() {
				t.Error("the endpoint of b, at the same address, is ejected as well")
			}
			eject(t, p.server, "a")
			p.await("a is back", flag("a", "healthy"))
			p.await("the last response is answered", func() bool { return !pending(p.server) })
			now := p.server.Counts()
			for _, typeURL := range xds.Types {
				want := pushes[typeURL].Pushes
				if typeURL == xds.EndpointType {
					want += 2
				}
				if got := now[typeURL].Pushes; got != want {
					t.Errorf("%d responses about %s, want %d", got, shortType(typeURL), want)
				}
			}
		})
	}
}
