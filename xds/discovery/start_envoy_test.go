package discovery

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"breakwater.dev/policy"
	"breakwater.dev/xds"
)

// manyUpstreams returns a policy with upstreams u0000, u0001 and so on, which one service answers for.
func manyUpstreams(t *testing.T, n int, service string) *policy.Set {
	t.Helper()
	host, port, _ := strings.Cut(service, ":")
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "---\napiVersion: breakwater.dev/v1alpha1\nkind: Upstream\nmetadata: {name: u%04d}\n"+
			"spec: {endpoints: [{address: %s, port: %s}]}\n", i, host, port)
	}
	text.WriteString("---\napiVersion: breakwater.dev/v1alpha1\nkind: BreakerPolicy\nmetadata: {name: mesh}\nspec: {targetRefs: [{kind: Mesh}]}\n")
	set, diagnostics := policy.Parse([]policy.File{{Name: "p.yaml", Data: []byte(text.String())}}, policy.BuiltinDefaults())
	for _, d := range diagnostics {
		t.Fatalf("the policy of a test: %s", d)
	}
	return set
}

// TestAProxyThatListensKnowsAllUpstreams: from its first connection on, a proxy that starts has a route to each of 1,000
// upstreams.
func TestAProxyThatListensKnowsAllUpstreams(t *testing.T) {
	const n = 1_000
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "here") }))
	defer web.Close()
	for i, apiType := range []string{"DELTA_GRPC", "GRPC"} {
		t.Run(apiType, func(t *testing.T) {
			p := newProxy(t)
			publishSet(t, p.server, manyUpstreams(t, n, strings.TrimPrefix(web.URL, "http://")))
			p.launch(bootstraps[apiType], uint16(20_600+10*i))
			last := fmt.Sprintf("u%04d", n-1)
			got := ""
			p.await("the proxy listens", func() bool {
				got = p.call(last)
				return !strings.Contains(got, "connection refused")
			})
			for i := 0; got == "200 here" && i < n; i++ {
				if got = p.call(fmt.Sprintf("u%04d", i)); got != "200 here" {
					last = fmt.Sprintf("u%04d", i)
				}
			}
			if got != "200 here" {
				t.Errorf("a call to %s got %q", last, got)
			}
			if apiType == "GRPC" {
				return
			}
			p.await("all is answered", func() bool { return !pending(p.server) })
			if got := p.server.Counts()[xds.VirtualHostType]; got.Pushes != 1 {
				t.Errorf("%d responses with virtual hosts, want one", got.Pushes)
			}
		})
	}
}

// TestARefusalIsKnownWhenOthersStart: where one proxy refuses a virtual host, another one that starts has all others from its first
// connection on. A proxy that refuses the first response that it gets would serve without any for a while.
func TestARefusalIsKnownWhenOthersStart(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "here") }))
	defer web.Close()
	const last = "u0999"
	first := newProxy(t)
	set := manyUpstreams(t, 1_000, strings.TrimPrefix(web.URL, "http://"))
	spoils["virtual host"].spoil(set.Upstreams[777])
	publishSet(t, first.server, set)
	first.run(asPrinted, 20_620)
	first.await("it has all others", func() bool { return first.call(last) == "200 here" && first.call("u0776") == "200 here" })
	second := newProxy(t)
	second.server = first.server
	second.launch(asPrinted, 20_630)
	for _, host := range []string{last, "u0000", "u0776", "u0778"} {
		got := ""
		second.await("it listens", func() bool {
			got = second.call(host)
			return !strings.Contains(got, "connection refused")
		})
		if got != "200 here" {
			t.Errorf("a call to %s got %q", host, got)
		}
	}
	if got := second.call("u0777"); !strings.HasPrefix(got, "404") {
		t.Errorf("a call to the one that is refused got %q", got)
	}
}
