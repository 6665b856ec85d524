package xdswire

import (
	"maps"
	"slices"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
)

func marshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func packed(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestReadDelta(t *testing.T) {
	body := packed(t, &clusterv3.Cluster{Name: "a"})
	message := marshal(t, &discoveryv3.DeltaDiscoveryResponse{
		SystemVersionInfo: "s", TypeUrl: Cluster, Nonce: "n", RemovedResources: []string{"x", "y"},
		Resources: []*discoveryv3.Resource{
			{Name: "a", Version: "1", Resource: body, Ttl: durationpb.New(1500 * time.Millisecond), Aliases: []string{"z"}},
			{Name: "b", Version: "2"},
			{Name: "c", Version: "3", Resource: packed(t, &clusterv3.Cluster{})},
		},
	})
	r := Response{Removed: [][]byte{{1}}, Resources: make([]Resource, 7), Nonce: []byte("old")}
	if err := ReadDelta(message, &r); err != nil {
		t.Fatal(err)
	}
	if string(r.TypeURL) != Cluster || string(r.Nonce) != "n" || string(r.Version) != "s" || len(r.Resources) != 3 || len(r.Removed) != 2 || string(r.Removed[1]) != "y" {
		t.Fatalf("got %+v", r)
	}
	a, b, c := r.Resources[0], r.Resources[1], r.Resources[2]
	if string(a.Name) != "a" || string(a.Version) != "1" || string(a.Body) != string(body.Value) || a.TTL != 1500*time.Millisecond {
		t.Errorf("the first resource is %+v", a)
	}
	if string(b.Name) != "b" || b.Body != nil || b.TTL != 0 {
		t.Errorf("the second resource is %+v, want one without a body", b)
	}
	if c.Body == nil || len(c.Body) != 0 {
		t.Errorf("the third resource is %+v, want one with an empty body", c)
	}
}

func TestReadSotw(t *testing.T) {
	layer := &runtimev3.Runtime{Name: "layer"}
	message := marshal(t, &discoveryv3.DiscoveryResponse{VersionInfo: "v", TypeUrl: Runtime, Nonce: "n", Resources: []*anypb.Any{
		packed(t, &discoveryv3.Resource{Name: "layer", Version: "1", Resource: packed(t, layer), Ttl: durationpb.New(time.Minute)}),
		packed(t, &routev3.RouteConfiguration{Name: "egress"}),
	}})
	var r Response
	if err := ReadSotw(message, &r); err != nil {
		t.Fatal(err)
	}
	if string(r.TypeURL) != Runtime || string(r.Nonce) != "n" || string(r.Version) != "v" || len(r.Resources) != 2 {
		t.Fatalf("got %+v", r)
	}
	if got := r.Resources[0]; string(got.Name) != "layer" || got.TTL != time.Minute || string(got.Body) != string(marshal(t, layer)) {
		t.Errorf("the resource with a TTL is %+v", got)
	}
	if got := r.Resources[1]; string(got.Name) != "egress" || got.TTL != 0 {
		t.Errorf("the plain resource is %+v", got)
	}
}

func TestMalformedResponses(t *testing.T) {
	whole := marshal(t, &discoveryv3.DeltaDiscoveryResponse{Resources: []*discoveryv3.Resource{{Name: "a"}}})
	for _, message := range [][]byte{whole[:len(whole)-1], {0xff}, {0x12, 0x02, 0x0a, 0x05}} {
		if err := ReadDelta(message, &Response{}); err == nil {
			t.Errorf("% x is read as a delta response", message)
		}
		if err := ReadSotw(message, &Response{}); err == nil {
			t.Errorf("% x is read as a response", message)
		}
	}
}

func TestDeltaRequest(t *testing.T) {
	versions := map[string]string{"a": "1", "b": "22"}
	r := Request{
		Node: marshal(t, &corev3.Node{Id: "me"}), TypeURL: Cluster, Names: []string{"a", "b"}, Unsubscribe: []string{"c"},
		Initial: maps.All(versions), Nonce: "n", Refusal: "no",
	}
	var got discoveryv3.DeltaDiscoveryRequest
	if err := proto.Unmarshal(r.Delta(), &got); err != nil {
		t.Fatal(err)
	}
	if got.GetNode().GetId() != "me" || got.GetTypeUrl() != Cluster || !slices.Equal(got.GetResourceNamesSubscribe(), r.Names) ||
		!slices.Equal(got.GetResourceNamesUnsubscribe(), r.Unsubscribe) || !maps.Equal(got.GetInitialResourceVersions(), versions) ||
		got.GetResponseNonce() != "n" || got.GetErrorDetail().GetMessage() != "no" {
		t.Errorf("got %v", &got)
	}
	var plain discoveryv3.DeltaDiscoveryRequest
	if err := proto.Unmarshal((&Request{TypeURL: Cluster, Nonce: "n"}).Delta(), &plain); err != nil || plain.GetNode() != nil || plain.GetErrorDetail() != nil {
		t.Errorf("an answer that takes the response is %v, error %v", &plain, err)
	}
}

func TestSotwRequest(t *testing.T) {
	r := Request{Node: marshal(t, &corev3.Node{Id: "me"}), TypeURL: Route, Names: []string{"egress"}, Version: "v", Nonce: "n", Refusal: "no"}
	var got discoveryv3.DiscoveryRequest
	if err := proto.Unmarshal(r.Sotw(), &got); err != nil {
		t.Fatal(err)
	}
	if got.GetNode().GetId() != "me" || got.GetTypeUrl() != Route || !slices.Equal(got.GetResourceNames(), r.Names) ||
		got.GetVersionInfo() != "v" || got.GetResponseNonce() != "n" || got.GetErrorDetail().GetMessage() != "no" {
		t.Errorf("got %v", &got)
	}
}

func TestEndpointsOf(t *testing.T) {
	eds := &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}
	for want, c := range map[string]*clusterv3.Cluster{
		"a":       {Name: "a", ClusterDiscoveryType: eds},
		"service": {Name: "a", ClusterDiscoveryType: eds, EdsClusterConfig: &clusterv3.Cluster_EdsClusterConfig{ServiceName: "service"}},
		"":        {Name: "a", ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STRICT_DNS}},
	} {
		if got, err := EndpointsOf(marshal(t, c)); err != nil || string(got) != want || (got == nil) != (want == "") {
			t.Errorf("got %q and error %v, want %q", got, err, want)
		}
	}
}

func TestSecretsOf(t *testing.T) {
	context := func(common *tlsv3.CommonTlsContext) *corev3.TransportSocket {
		return &corev3.TransportSocket{ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: packed(t, &tlsv3.UpstreamTlsContext{Sni: "x", CommonTlsContext: common})}}
	}
	c := &clusterv3.Cluster{
		TransportSocket: context(&tlsv3.CommonTlsContext{
			TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{{Name: "certificate"}},
			ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
				DefaultValidationContext: &tlsv3.CertificateValidationContext{}, ValidationContextSdsSecretConfig: &tlsv3.SdsSecretConfig{Name: "trust"},
			}},
		}),
		TransportSocketMatches: []*clusterv3.Cluster_TransportSocketMatch{{Name: "match", TransportSocket: context(&tlsv3.CommonTlsContext{
			ValidationContextType: &tlsv3.CommonTlsContext_ValidationContextSdsSecretConfig{ValidationContextSdsSecretConfig: &tlsv3.SdsSecretConfig{Name: "other"}},
		})}},
	}
	got, err := SecretsOf(marshal(t, c))
	var names []string
	for _, name := range got {
		names = append(names, string(name))
	}
	slices.Sort(names)
	if err != nil || !slices.Equal(names, []string{"certificate", "other", "trust"}) {
		t.Errorf("got %q and error %v", names, err)
	}
	if got, err := SecretsOf(marshal(t, &clusterv3.Cluster{Name: "plain"})); err != nil || len(got) > 0 {
		t.Errorf("a cluster without TLS has the secrets %q, error %v", got, err)
	}
}

func TestRoutesOf(t *testing.T) {
	filter := func(name string) []*listenerv3.Filter {
		return []*listenerv3.Filter{{Name: "http", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(t, &hcmv3.HttpConnectionManager{
			RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: name}},
		})}}}
	}
	l := &listenerv3.Listener{Name: "egress", FilterChains: []*listenerv3.FilterChain{{Filters: filter("one")}}, DefaultFilterChain: &listenerv3.FilterChain{Filters: filter("two")}}
	got, err := RoutesOf(marshal(t, l))
	if err != nil || len(got) != 2 || string(got[0]) != "one" || string(got[1]) != "two" {
		t.Errorf("got %q and error %v", got, err)
	}
}

func TestHasVHDS(t *testing.T) {
	with, err := HasVHDS(marshal(t, &routev3.RouteConfiguration{Name: "egress", Vhds: &routev3.Vhds{}}))
	without, problem := HasVHDS(marshal(t, &routev3.RouteConfiguration{Name: "egress", VirtualHosts: []*routev3.VirtualHost{{Name: "a"}}}))
	if !with || without || err != nil || problem != nil {
		t.Errorf("got %t and %t, errors %v and %v", with, without, err, problem)
	}
}

func TestLayerKeys(t *testing.T) {
	layer, err := structpb.NewStruct(map[string]any{"a": 1, "b": map[string]any{"numerator": 3}})
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	if err := LayerKeys(marshal(t, &runtimev3.Runtime{Name: "layer", Layer: layer}), func(key []byte) { keys = append(keys, string(key)) }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(keys)
	if !slices.Equal(keys, []string{"a", "b"}) {
		t.Errorf("keys %q", keys)
	}
}
