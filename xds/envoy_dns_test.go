package xds

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	dnsclusterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dns/v3"
	caresv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/network/dns_resolver/cares/v3"

	"breakwater.dev/policy"
	"breakwater.dev/xds/internal/connect"
	"breakwater.dev/xds/internal/message"
)

// silentNameServer reads queries and never answers.
type silentNameServer struct {
	address netip.AddrPort
	asked   atomic.Int64
}

func newSilentNameServer(t *testing.T) *silentNameServer {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &silentNameServer{address: c.LocalAddr().(*net.UDPAddr).AddrPort()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for buffer := make([]byte, 4096); ; s.asked.Add(1) {
			if _, _, err := c.ReadFrom(buffer); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		c.Close()
		<-done
	})
	return s
}

// resolvedBy has all clusters of a bootstrap ask a name server, in place of this host's name servers.
func resolvedBy(t *testing.T, b *bootstrapv3.Bootstrap, server netip.AddrPort) {
	t.Helper()
	for _, c := range b.GetStaticResources().GetClusters() {
		dns, cares := new(dnsclusterv3.DnsCluster), new(caresv3.CaresDnsResolverConfig)
		config := c.GetClusterType().GetTypedConfig()
		if !config.MessageIs(dns) {
			continue
		}
		if err := config.UnmarshalTo(dns); err != nil {
			t.Fatal(err)
		}
		if own := dns.GetTypedDnsResolverConfig().GetTypedConfig(); own != nil {
			if err := own.UnmarshalTo(cares); err != nil {
				t.Fatal(err)
			}
		}
		cares.Resolvers = []*corev3.Address{connect.Address(server)}
		packed, err := message.Pack(cares)
		if err != nil {
			t.Fatal(err)
		}
		dns.TypedDnsResolverConfig = &corev3.TypedExtensionConfig{Name: "envoy.network.dns_resolver.cares", TypedConfig: packed}
		if c.GetClusterType().TypedConfig, err = message.Pack(dns); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEnvoyStartsWithoutDNS: a proxy whose name server is silent soon serves the upstreams that need no names.
func TestEnvoyStartsWithoutDNS(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(web.Close)
	set := &policy.Set{Upstreams: []*policy.Upstream{webUpstream("web", portOf(t, web), policy.HTTP1, policy.Route{Timeout: time.Second})}}
	for _, name := range []string{"x", "y", "z"} {
		u := webUpstream(name, 0, policy.HTTP1, policy.Route{Timeout: time.Second})
		u.Endpoints, u.DNS = nil, &policy.DNS{Name: name + ".shop.svc", Port: 80}
		set.Upstreams = append(set.Upstreams, u)
	}
	server := newSilentNameServer(t)
	b := static(t, translate(t, set))
	resolvedBy(t, b, server.address)
	begin := time.Now()
	egress := startEnvoyOn(t, b, refusingPort(t))
	took := time.Since(begin)
	if status, body := callEgress(t, egress, "GET web /"); status != http.StatusOK {
		t.Errorf("web: got %d %q, want 200", status, body)
	}
	if status, body := callEgress(t, egress, "GET x /"); status != http.StatusServiceUnavailable || !strings.Contains(body, "no healthy upstream") {
		t.Errorf("x: got %d %q, want 503 for want of an endpoint", status, body)
	}
	// Both families, each with all tries, on a busy machine.
	if most := 2*connect.DNSTimeout*(1<<connect.DNSTries) + 5*time.Second; took > most {
		t.Errorf("it took %s to start, want at most %s", took, most)
	}
	if asked := server.asked.Load(); asked < 2*3*connect.DNSTries {
		t.Errorf("the name server was asked %d times: nobody waited for it", asked)
	}
	t.Logf("started after %s", took.Round(100*time.Millisecond))
}
