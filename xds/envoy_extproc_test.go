package xds

import (
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/filter"
)

// processor is a control plane that rejects the calls of breaker "rejecting" and tries to change all others. It keeps the
// messages that it got.
type processor struct {
	extprocv3.UnimplementedExternalProcessorServer
	told  chan told
	asked atomic.Int64  // exchanges that have begun
	late  time.Duration // how long it takes to answer a request
}

// told is one exchange: the breaker's key and the names of the headers that came.
type told struct {
	key                []string
	request, response  []string
	asking, attributes map[string]any // the attributes of request and response
}

func (p *processor) Process(stream extprocv3.ExternalProcessor_ProcessServer) error {
	p.asked.Add(1)
	md, _ := metadata.FromIncomingContext(stream.Context())
	exchange := told{key: md.Get(wire.BreakerMetadata)}
	defer func() { p.told <- exchange }()
	for {
		in, err := stream.Recv()
		if err != nil {
			return nil // the call is over
		}
		answer := &extprocv3.ProcessingResponse{}
		if in.GetRequestHeaders() != nil {
			select {
			case <-time.After(p.late):
			case <-stream.Context().Done():
			}
		}
		switch {
		case in.GetRequestHeaders() == nil:
			exchange.response = headerNames(in.GetResponseHeaders())
			exchange.attributes = attributesOf(in)
			answer.Response = &extprocv3.ProcessingResponse_ResponseHeaders{ResponseHeaders: &extprocv3.HeadersResponse{}}
		case slices.Equal(exchange.key, []string{"rejecting"}):
			answer.Response = rejection()
		default:
			exchange.request = headerNames(in.GetRequestHeaders())
			exchange.asking = attributesOf(in)
			answer.Response = diversion()
		}
		if err := stream.Send(answer); err != nil {
			return err
		}
	}
}

func headerNames(h *extprocv3.HttpHeaders) []string {
	var names []string
	for _, header := range h.GetHeaders().GetHeaders() {
		names = append(names, header.GetKey())
	}
	return names
}

// attributesOf returns the attributes of a message. Envoy files the attributes of both filters under the name of the
// extension.
func attributesOf(in *extprocv3.ProcessingRequest) map[string]any {
	all := map[string]any{}
	for _, a := range in.GetAttributes() {
		maps.Copy(all, a.AsMap())
	}
	return all
}

func setting(pairs ...string) *extprocv3.HeaderMutation {
	m := &extprocv3.HeaderMutation{}
	for pair := range slices.Chunk(pairs, 2) {
		m.SetHeaders = append(m.SetHeaders, &corev3.HeaderValueOption{
			Header:       &corev3.HeaderValue{Key: pair[0], RawValue: []byte(pair[1])},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		})
	}
	return m
}

func rejection() *extprocv3.ProcessingResponse_ImmediateResponse {
	return &extprocv3.ProcessingResponse_ImmediateResponse{ImmediateResponse: &extprocv3.ImmediateResponse{
		Status:  &typev3.HttpStatus{Code: typev3.StatusCode_TooManyRequests},
		Headers: setting("content-type", "application/json", "retry-after", "30", "x-fallback", "yes"),
		Body:    []byte(`{"open":true}`),
	}}
}

func diversion() *extprocv3.ProcessingResponse_RequestHeaders {
	return &extprocv3.ProcessingResponse_RequestHeaders{RequestHeaders: &extprocv3.HeadersResponse{
		Response: &extprocv3.CommonResponse{
			HeaderMutation:  setting(":path", "/elsewhere", ":authority", "rejecting", ":method", "DELETE"),
			ClearRouteCache: true,
		},
	}}
}

// start serves, and returns the port.
func (p *processor) start(t *testing.T) uint16 {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	extprocv3.RegisterExternalProcessorServer(server, p)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Errorf("the control plane: %v", err)
		}
	})
	return uint16(listener.Addr().(*net.TCPAddr).Port)
}

func TestEnvoyAsksTheControlPlane(t *testing.T) {
	control := &processor{told: make(chan told, 10)}
	web := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(web.Close)
	route := func(name string) policy.Route {
		return policy.Route{Timeout: 10 * time.Second, Breaker: guardedBy(name, true)}
	}
	perNode := route("own")
	perNode.Breaker.Spec.PerNode = true
	egress := startEnvoy(t, &policy.Set{Upstreams: []*policy.Upstream{
		webUpstream("own", portOf(t, web), policy.HTTP1, perNode),
		webUpstream("rejecting", portOf(t, web), policy.HTTP1, route("rejecting")),
		webUpstream("unguarded", portOf(t, web), policy.HTTP1, policy.Route{Timeout: 10 * time.Second}),
		webUpstream("web", portOf(t, web), policy.HTTP1, route("web")),
	}}, control.start(t))
	t.Run("admitted", func(t *testing.T) { checkAdmitted(t, egress, control, "web", map[string]any{}) })
	t.Run("in a scope of nodes", func(t *testing.T) {
		checkAdmitted(t, egress, control, "own", map[string]any{"xds.node.id": proxyOptions().NodeID})
	})
	t.Run("rejected", func(t *testing.T) { checkRejected(t, egress, control) })
	t.Run("without a breaker", func(t *testing.T) {
		before := control.asked.Load()
		status, body := callEgress(t, egress, "GET unguarded /")
		if status != 200 || !strings.HasPrefix(body, "GET unguarded /\n") {
			t.Errorf("got %d %q, want the echo", status, body)
		}
		if n := control.asked.Load() - before; n != 0 {
			t.Errorf("the control plane was asked %d times about a call without a breaker", n)
		}
	})
}

// TestTimeoutsOfASlowControlPlane: a gRPC service that hangs has the whole timeout, and the timeout ends the call, also when
// the control plane answers nearly as late as it may.
func TestTimeoutsOfASlowControlPlane(t *testing.T) {
	control := &processor{told: make(chan told, 10), late: filter.MessageTimeout * 3 / 4}
	route := policy.Route{Timeout: 300 * time.Millisecond, Breaker: guardedBy("web", true)}
	egress := startEnvoy(t, &policy.Set{Upstreams: []*policy.Upstream{webUpstream("web", hungPort(t), policy.GRPC, route)}}, control.start(t))
	if status, message := callGRPC(t, egress, "web", ""); status != "4" || message != "upstream request timeout" {
		t.Errorf("got status %s %q, want 4 and that the request to the service timed out", status, message)
	}
	if got := (<-control.told).attributes; got["response.code_details"] != "upstream_per_try_timeout" {
		t.Errorf("the control plane was told %v, want that the try timed out", got)
	}
}

// checkAdmitted wants the control plane to get the listed headers and no others, to get the node of the proxy only where it
// needs it, and to have no way to send the call elsewhere.
func checkAdmitted(t *testing.T, egress string, control *processor, host string, asking map[string]any) {
	status, body := callEgress(t, egress, "POST "+host+" /charge")
	if status != 200 || !strings.HasPrefix(body, "POST "+host+" /charge\n") {
		t.Errorf("got %d %q, want the echo of what was sent", status, body)
	}
	if strings.Contains(body, wire.TimesHeader) {
		t.Errorf("the caller got the header that is for the control plane:\n%s", body)
	}
	got := <-control.told
	slices.Sort(got.response)
	for _, c := range []struct {
		what      string
		got, want []string
	}{
		{"key", got.key, []string{host}},
		{"request headers", got.request, nil},
		{"response headers", got.response, []string{":status", "content-type", wire.TimesHeader}},
		{"attributes", slices.Sorted(maps.Keys(got.attributes)), []string{wire.DetailsAttribute, wire.FlagsAttribute}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: the control plane got %q, want %q", c.what, c.got, c.want)
		}
	}
	if !maps.Equal(got.asking, asking) {
		t.Errorf("attributes of the request: the control plane got %v, want %v", got.asking, asking)
	}
}

// checkRejected wants the caller to get the rejection as the control plane wrote it.
func checkRejected(t *testing.T, egress string, control *processor) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+egress+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "rejecting"
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusTooManyRequests || string(body) != `{"open":true}` {
		t.Errorf("got %d %q, %v, want the rejection", resp.StatusCode, body, err)
	}
	for name, want := range map[string]string{"Content-Type": "application/json", "Retry-After": "30", "X-Fallback": "yes"} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if got := <-control.told; !slices.Equal(got.key, []string{"rejecting"}) {
		t.Errorf("the control plane was asked for breaker %q, want rejecting", got.key)
	}
}
