package bootstrap

import (
	"net/netip"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	healthcheckv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/health_check/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/connect"
	"breakwater.dev/xds/internal/message"
)

const (
	// readinessName is the name of the listener and of the cluster. No upstream can have it.
	readinessName = wire.ControlPlaneCluster + "/ready"
	readinessPath = "/ready"
	// The proxy asks itself more often while it is not ready, since its callers wait for that to change.
	readinessTimeout  = time.Second
	readinessInterval = 10 * time.Second
	unreadyInterval   = 500 * time.Millisecond
	// readinessRequest is how long a request may take to come, so that no client holds connections for long.
	readinessRequest = 5 * time.Second
	readinessLimit   = "envoy.resource_limits.listener." + readinessName + ".connection_limit"
)

// ReadinessConnections is how many connections the readiness listener holds at once. They do not count as connections of
// applications, so that they take none from these.
const ReadinessConnections = 128

// addReadiness adds a listener that answers every request for /ready with 200 while listen accepts connections, otherwise
// with 503, and all other paths with 404. It is for clients that cannot reach the proxy on loopback, and have no shell in
// its image: a kubelet.
func addReadiness(static *bootstrapv3.Bootstrap_StaticResources, listen, ready netip.AddrPort) error {
	self, err := connect.Egress(listen)
	if err != nil {
		return err
	}
	self.Name, self.LoadAssignment.ClusterName = readinessName, readinessName
	self.HealthChecks = []*corev3.HealthCheck{{
		Timeout:                  durationpb.New(readinessTimeout),
		Interval:                 durationpb.New(readinessInterval),
		UnhealthyInterval:        durationpb.New(unreadyInterval),
		NoTrafficInterval:        durationpb.New(unreadyInterval),
		NoTrafficHealthyInterval: durationpb.New(readinessInterval),
		UnhealthyThreshold:       wrapperspb.UInt32(1),
		HealthyThreshold:         wrapperspb.UInt32(1),
		HealthChecker:            &corev3.HealthCheck_TcpHealthCheck_{TcpHealthCheck: &corev3.HealthCheck_TcpHealthCheck{}},
	}}
	l, err := readinessListener(ready)
	if err != nil {
		return err
	}
	static.Clusters = append(static.Clusters, self)
	static.Listeners = []*listenerv3.Listener{l}
	return nil
}

func readinessListener(ready netip.AddrPort) (*listenerv3.Listener, error) {
	check, err := message.Pack(&healthcheckv3.HealthCheck{
		PassThroughMode: wrapperspb.Bool(false),
		Headers: []*routev3.HeaderMatcher{{
			Name: ":path", HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: message.Exactly(readinessPath)},
		}},
		ClusterMinHealthyPercentages: map[string]*typev3.Percent{readinessName: {Value: 100}},
	})
	if err != nil {
		return nil, err
	}
	router, err := message.Pack(&routerv3.Router{})
	if err != nil {
		return nil, err
	}
	manager, err := message.Pack(&hcmv3.HttpConnectionManager{
		// A kubelet speaks HTTP/1. Any client that reaches the port could misuse HTTP/2: see prematureResets.
		CodecType:             hcmv3.HttpConnectionManager_HTTP1,
		StatPrefix:            "ready",
		RouteSpecifier:        &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{Name: readinessName}},
		RequestHeadersTimeout: durationpb.New(readinessRequest),
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{
			IdleTimeout: durationpb.New(2 * readinessInterval),
		},
		HttpFilters: []*hcmv3.HttpFilter{
			{Name: "envoy.filters.http.health_check", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: check}},
			{Name: "envoy.filters.http.router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: router}},
		},
	})
	if err != nil {
		return nil, err
	}
	return &listenerv3.Listener{
		Name: readinessName, Address: connect.Address(ready), StatPrefix: "ready", IgnoreGlobalConnLimit: true,
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name:       "envoy.filters.network.http_connection_manager",
			ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: manager},
		}}}},
	}, nil
}
