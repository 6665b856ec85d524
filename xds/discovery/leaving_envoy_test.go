package discovery

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"

	"breakwater.dev/policy"
	"breakwater.dev/xds"
)

// silent is asked about calls, and never answers.
type silent struct {
	extprocv3.UnimplementedExternalProcessorServer
	asked chan struct{}
}

func (s *silent) Process(stream extprocv3.ExternalProcessor_ProcessServer) error {
	if _, err := stream.Recv(); err != nil {
		return err
	}
	s.asked <- struct{}{}
	<-stream.Context().Done()
	return nil
}

// publishText publishes a policy.
func (p *realProxy) publishText(text string) {
	p.t.Helper()
	set, diagnostics := policy.Parse([]policy.File{{Name: "p.yaml", Data: []byte(text)}}, policy.BuiltinDefaults())
	for _, d := range diagnostics {
		p.t.Fatalf("the policy of a test: %s", d)
	}
	publishSet(p.t, p.server, set)
}

// has reports whether the proxy has a cluster.
func (p *realProxy) has(cluster string) bool {
	return strings.Contains(p.page("/clusters"), "\n"+cluster+"::")
}

// TestCallsThatAskOutliveTheirUpstream: a call whose route is chosen, and that waits for the control
// plane, reaches its upstream though the routes name another one by then. The cluster
// goes afterwards.
func TestCallsThatAskOutliveTheirUpstream(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "here") }))
	defer web.Close()
	host, port, _ := strings.Cut(web.Listener.Addr().String(), ":")
	named := func(name string) string {
		return fmt.Sprintf("apiVersion: breakwater.dev/v1alpha1\nkind: Upstream\nmetadata: {name: %[1]s}\n"+
			"spec: {hosts: [web], endpoints: [{address: %[2]s, port: %[3]s}]}\n---\napiVersion: breakwater.dev/v1alpha1\nkind: BreakerPolicy\n"+
			"metadata: {name: %[1]s}\nspec: {targetRefs: [{kind: Upstream, name: %[1]s}], dataPath: Inline}\n", name, host, port)
	}
	for i, apiType := range []string{"DELTA_GRPC", "GRPC"} {
		t.Run(apiType, func(t *testing.T) {
			asked := &silent{asked: make(chan struct{}, 1)}
			p := startProxy(t, bootstraps[apiType], uint16(20_200+10*i), func(r grpc.ServiceRegistrar) {
				extprocv3.RegisterExternalProcessorServer(r, asked)
			})
			from, to := "old", "new"
			p.publishText(named(from))
			p.await("what the call goes to would outlive the change of routes", func() bool {
				p.await("the upstream is there", func() bool { return p.has(from) && !pending(p.server) })
				answered := make(chan string, 1)
				go func() { answered <- p.call("web") }()
				<-asked.asked
				routes := map[string]string{"DELTA_GRPC": xds.VirtualHostType, "GRPC": xds.RouteType}[apiType]
				routed := p.server.Counts()[routes].Pushes
				p.publishText(named(to))
				p.await("the routes name the other upstream", func() bool {
					return p.server.Counts()[routes].Pushes > routed && !pending(p.server)
				})
				asks := len(answered) == 0 // else the routes were too late to tell anything
				if got := <-answered; got != "200 here" {
					t.Errorf("the call that asked got %q", got)
				}
				p.await("the upstream before is gone", func() bool { return !p.has(from) })
				from, to = to, from
				return asks
			})
			if c := p.server.Counts()[xds.ClusterType]; c.NACKs != 0 {
				t.Errorf("%d of %d responses were refused", c.NACKs, c.Pushes)
			}
		})
	}
}

// call sends a request through the proxy, and returns the status and the body.
func (p *realProxy) call(host string) string {
	r, err := http.NewRequest(http.MethodGet, "http://"+p.egress.String()+"/", nil)
	if err != nil {
		return err.Error()
	}
	r.Host = host
	resp, err := p.client.Do(r)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, body)
}
