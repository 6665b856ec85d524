package baseline

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"

	"breakwater.dev/endpoints"
	"breakwater.dev/policy"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery"
)

func parse(text string) (*policy.Set, error) {
	set, problems := policy.Parse([]policy.File{{Name: "policy.yaml", Data: []byte(text)}}, policy.BuiltinDefaults())
	if len(problems) > 0 {
		return nil, problems
	}
	return set, nil
}

// Bootstrap returns the configuration of an Envoy as in a mesh without breakers: with our listener, routes and clusters, but
// without ext_proc, marks and access log. It listens at ip:10000, and answers the host "direct" as an open breaker does: with
// status 503 and a body in JSON. Its admin interface is at ip:9901.
func Bootstrap(text, ip, body string) (string, error) {
	set, err := parse(text)
	if err != nil {
		return "", err
	}
	rs, err := xds.Translate(set, netip.MustParseAddrPort(ip+":10000"))
	if err != nil {
		return "", err
	}
	b := &bootstrapv3.Bootstrap{
		Node: &corev3.Node{Id: "plain", Cluster: "bench"},
		Admin: &bootstrapv3.Admin{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
			SocketAddress: &corev3.SocketAddress{Address: ip, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 9901}},
		}}},
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{},
	}
	listener, err := plainListener(rs, policy.Response{Status: 503, ContentType: "application/json", Body: body})
	if err != nil {
		return "", err
	}
	b.StaticResources.Listeners = append(b.StaticResources.Listeners, listener)
	for _, r := range rs[xds.ClusterType].All() {
		c := r.Message().(*clusterv3.Cluster)
		c.ClusterDiscoveryType, c.EdsClusterConfig = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}, nil
		c.LoadAssignment = rs[xds.EndpointType].Find(r.Name).Message().(*endpointv3.ClusterLoadAssignment)
		b.StaticResources.Clusters = append(b.StaticResources.Clusters, c)
	}
	bootstrap, err := protojson.Marshal(b)
	return string(bootstrap), err
}

// plainListener returns the egress listener with its routes, and without ext_proc, marks and access log.
func plainListener(rs xds.Resources, fallback policy.Response) (*listenerv3.Listener, error) {
	listener := rs[xds.ListenerType].All()[0].Message().(*listenerv3.Listener)
	filter := listener.GetFilterChains()[0].GetFilters()[0]
	manager := new(hcmv3.HttpConnectionManager)
	if err := filter.GetTypedConfig().UnmarshalTo(manager); err != nil {
		return nil, err
	}
	manager.AccessLog = nil
	manager.HttpFilters = manager.GetHttpFilters()[len(manager.GetHttpFilters())-1:]
	routes := xds.WholeRoutes(rs[xds.VirtualHostType]).All()[0].Message().(*routev3.RouteConfiguration)
	routes.VirtualHosts = append(routes.VirtualHosts, &routev3.VirtualHost{
		Name: "direct", Domains: []string{"direct"},
		Routes: []*routev3.Route{{
			Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
			Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{
				Status: uint32(fallback.Status),
				Body:   &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: fallback.Body}},
			}},
			ResponseHeadersToAdd: []*corev3.HeaderValueOption{{
				Header:       &corev3.HeaderValue{Key: "content-type", Value: fallback.ContentType},
				AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
			}},
		}},
	})
	manager.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: routes}
	packed, err := anypb.New(manager)
	if err != nil {
		return nil, err
	}
	filter.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: packed}
	return listener, nil
}

// idleProcessor is an ext_proc server that only answers.
type idleProcessor struct {
	extprocv3.UnimplementedExternalProcessorServer
}

func (idleProcessor) Process(stream extprocv3.ExternalProcessor_ProcessServer) error {
	for {
		in, err := stream.Recv()
		if err != nil {
			return nil // the request is over
		}
		out := &extprocv3.ProcessingResponse{}
		switch in.GetRequest().(type) {
		case *extprocv3.ProcessingRequest_RequestHeaders:
			out.Response = &extprocv3.ProcessingResponse_RequestHeaders{RequestHeaders: &extprocv3.HeadersResponse{}}
		case *extprocv3.ProcessingRequest_ResponseHeaders:
			out.Response = &extprocv3.ProcessingResponse_ResponseHeaders{ResponseHeaders: &extprocv3.HeadersResponse{}}
		default:
			return fmt.Errorf("unexpected %T", in.GetRequest())
		}
		if err := stream.Send(out); err != nil {
			return nil
		}
	}
}

// ServeIdle serves an ext_proc service that only answers, until ctx ends. Beside it runs the real discovery server, so that the
// proxy has the same configuration as with breakers.
func ServeIdle(ctx context.Context, text, address string) error {
	set, err := parse(text)
	if err != nil {
		return err
	}
	resources := discovery.NewServer(discovery.Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: time.Now})
	publication, err := resources.Prepare(set, endpoints.FromSet(set))
	if err != nil {
		return err
	}
	resources.Publish(publication)
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := grpc.NewServer(
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.ForceServerCodecV2(discovery.Codec(encoding.GetCodecV2("proto"))),
	)
	resources.Register(server)
	extprocv3.RegisterExternalProcessorServer(server, idleProcessor{})
	context.AfterFunc(ctx, server.Stop)
	return server.Serve(l)
}
