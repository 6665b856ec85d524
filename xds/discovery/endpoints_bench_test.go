package discovery

import (
	"fmt"
	"strings"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"breakwater.dev/endpoints"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/plan"
	"breakwater.dev/xds/discovery/internal/protocol"
)

// oneRequest is a gRPC stream that receives the same request each time.
type oneRequest struct {
	*discoveryv3.DeltaDiscoveryRequest
}

func (r oneRequest) RecvMsg(request any) error {
	b, err := proto.Marshal(r.DeltaDiscoveryRequest)
	if err != nil {
		return err
	}
	return Codec(encoding.GetCodecV2("proto")).Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, request)
}

func (oneRequest) SendMsg(any) error { return nil }

// planned is a delta proxy that takes all that is planned for it, without a stream.
type planned struct {
	proxy       *plan.Proxy
	publication *Publication
	now         time.Time
}

func (p *planned) resources(b *testing.B) xds.Resources {
	rs, err := resourcesOf(p.publication, Node{Listen: xds.DefaultListen})
	if err != nil {
		b.Fatal(err)
	}
	return rs
}

// take handles a request of the proxy, as [stream.take] does.
func (p *planned) take(b *testing.B, m *discoveryv3.DeltaDiscoveryRequest) {
	r, err := protocol.NewDelta(oneRequest{m}).Recv()
	if err != nil {
		b.Fatal(err)
	}
	s, _ := p.proxy.Subscribe(r.TypeURL)
	s.Answer(r, p.now)
	p.proxy.Apply(r)
	p.proxy.Weight(p.resources(b))
}

// settle has the proxy take responses until there is none, and returns how many there were.
func (p *planned) settle(b *testing.B) (responses int) {
	for {
		rs := p.resources(b)
		out, _, err := p.proxy.Next(rs, p.now)
		if err != nil {
			b.Fatal(err)
		}
		if len(out) == 0 {
			return responses
		}
		p.proxy.Weight(rs)
		for _, r := range out {
			responses++
			p.take(b, &discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.TypeURL, ResponseNonce: r.Nonce})
		}
	}
}

// BenchmarkChangeOfEndpoints changes the endpoints of one upstream and sends them to a proxy, which calls all upstreams
// and takes them.
func BenchmarkChangeOfEndpoints(b *testing.B) {
	for _, n := range []int{10, 1_000, 5_000} {
		b.Run(fmt.Sprintf("upstreams=%d", n), func(b *testing.B) {
			var text strings.Builder
			var names []string
			for i := range n {
				names = append(names, fmt.Sprint("u", i))
				fmt.Fprintf(&text, "---\napiVersion: breakwater.dev/v1alpha1\nkind: Upstream\nmetadata: {name: u%d}\nspec: {endpoints: [{address: 10.0.0.7, port: 80}]}\n", i)
			}
			set, problems := policy.Parse([]policy.File{{Name: "p.yaml", Data: []byte(text.String())}}, policy.BuiltinDefaults())
			if len(problems) > 0 {
				b.Fatal(problems)
			}
			s := newServer()
			prepared, err := s.Prepare(set, endpoints.FromSet(set))
			if err != nil {
				b.Fatal(err)
			}
			s.Publish(prepared)
			p := &planned{proxy: plan.NewProxy(protocol.Delta, &s.pool), publication: prepared, now: time.Unix(1_000_000, 0)}
			p.take(b, &discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.ClusterType})
			p.take(b, &discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.EndpointType, ResourceNamesSubscribe: names})
			p.take(b, &discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.ListenerType})
			p.take(b, &discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.RouteType, ResourceNamesSubscribe: []string{wire.RoutesName}})
			p.take(b, &discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.VirtualHostType, ResourceNamesSubscribe: []string{wire.RoutesName}})
			p.settle(b)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := s.PublishEndpoints("u7", []policy.Endpoint{endpointAt(uint16(81 + i%2))}); err != nil {
					b.Fatal(err)
				}
				if got := p.settle(b); got != 1 {
					b.Fatalf("the proxy got %d responses, want 1", got)
				}
			}
		})
	}
}
