package bootstrap

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	upstreamhttpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/connect"
)

const (
	// controlPlaneConnect is how long a connection to the control plane may take to open. It is short: requests that fail
	// open wait for it.
	controlPlaneConnect = time.Second
	// A lost stream is opened again after a random time of at most these: first up to reconnectAfter, then up to
	// reconnectAtMost. Envoy's own maximum is 30 s, during which open breakers would not be in force after an outage. With
	// replicas the time does not grow: Envoy begins with the first again only after a response, and a proxy that has
	// everything gets none from the next replica.
	reconnectAfter  = 500 * time.Millisecond
	reconnectAtMost = 2 * time.Second
)

// A replica whose connection has failed gets no streams of the proxy for about ejection, and for longer if it fails
// again and again. Envoy looks for ejections that are over each time ejection has passed.
const (
	ejection       = 5 * time.Second
	ejectionAtMost = 30 * time.Second
)

// A connection that hangs is noticed after keepaliveInterval + keepaliveTimeout. A gRPC server has to allow pings as often as
// that (grpc-go: keepalive.EnforcementPolicy). With one address there is nowhere else to go, so nothing is lost by waiting.
const (
	keepaliveInterval = 10 * time.Second
	keepaliveTimeout  = 5 * time.Second
)

// With replicas it is noticed sooner. Each ping costs the control plane some 40 us. A connection on which requests ask needs
// none while answers come: only when nothing has come for replicaIdle, the next request that asks sends one ahead.
const (
	replicaInterval = 1200 * time.Millisecond
	replicaIdle     = 500 * time.Millisecond
	replicaTimeout  = time.Second
)

// controlPlaneHosts returns the hosts of the control plane, and what is wrong with them.
func controlPlaneHosts(given []string) (hosts []connect.Host, wrong []error) {
	if len(given) == 0 {
		return nil, []error{errors.New("the control plane needs an address")}
	}
	for _, text := range given {
		h, err := controlPlaneHost(text)
		switch {
		case err != nil:
			wrong = append(wrong, fmt.Errorf("control plane %q %w", text, err))
		case slices.Contains(hosts, h):
			wrong = append(wrong, fmt.Errorf("control plane %q is given twice", text))
		default:
			hosts = append(hosts, h)
		}
	}
	return hosts, wrong
}

func controlPlaneHost(text string) (connect.Host, error) {
	if scheme, _, ok := strings.Cut(text, "://"); ok {
		return connect.Host{}, fmt.Errorf("is not host:port; leave out %s://", scheme)
	}
	if ip, err := netip.ParseAddr(text); err == nil {
		return connect.Host{}, fmt.Errorf("is not host:port; give the port too, as in %s", netip.AddrPortFrom(ip, 18000))
	}
	name, portText, err := net.SplitHostPort(text)
	port, portErr := strconv.ParseUint(portText, 10, 16)
	if err != nil || name == "" || strings.ContainsAny(name, " \t,/") || portErr != nil || port == 0 {
		return connect.Host{}, errors.New("is not host:port")
	}
	if ip, err := netip.ParseAddr(name); err == nil && ip.IsUnspecified() {
		return connect.Host{}, errors.New("is an address to listen at; a proxy needs one to connect to")
	}
	return connect.Host{Name: name, Port: uint16(port)}, nil
}

// mayBeReplicas reports whether there may be several addresses, as a name may have them.
func mayBeReplicas(hosts []connect.Host) bool { return len(hosts) > 1 || hosts[0].IsName() }

// controlPlane returns the cluster of the control plane. A request that asks for a permit is a request to it for as long
// as it lasts, so its limits must never be met.
func (o Options) controlPlane(hosts []connect.Host) (*clusterv3.Cluster, error) {
	c := &clusterv3.Cluster{
		Name:            wire.ControlPlaneCluster,
		ConnectTimeout:  durationpb.New(controlPlaneConnect),
		CircuitBreakers: connect.Unlimited(),
		LoadAssignment:  connect.To(wire.ControlPlaneCluster, hosts...),
	}
	var err error
	if !slices.ContainsFunc(hosts, connect.Host.IsName) {
		c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
	} else if c.ClusterDiscoveryType, err = connect.DNS(); err != nil {
		return nil, err
	}
	pings := &corev3.KeepaliveSettings{Interval: durationpb.New(keepaliveInterval), Timeout: durationpb.New(keepaliveTimeout)}
	if mayBeReplicas(hosts) {
		pings = &corev3.KeepaliveSettings{
			Interval: durationpb.New(replicaInterval), ConnectionIdleInterval: durationpb.New(replicaIdle), Timeout: durationpb.New(replicaTimeout),
		}
		avoidFailed(c)
	}
	if err := connect.SetHTTP(c, http2Always(pings)); err != nil {
		return nil, err
	}
	if o.TLS == nil {
		return c, nil
	}
	c.TransportSocket, err = o.TLS.socket(hosts)
	return c, err
}

// avoidFailed has a proxy choose other replicas than those to which a connection has just failed. It costs the control plane
// nothing, where health checks would be a request of each proxy to each replica all the time. One failure is enough,
// since each stream that Envoy begins on a connection counts as a success, also when nothing ever answers.
func avoidFailed(c *clusterv3.Cluster) {
	never, always := wrapperspb.UInt32(0), wrapperspb.UInt32(100)
	c.OutlierDetection = &clusterv3.OutlierDetection{
		// Connections that are refused, lost, or closed because pings are not answered.
		SplitExternalLocalOriginErrors:         true,
		ConsecutiveLocalOriginFailure:          wrapperspb.UInt32(1),
		EnforcingConsecutiveLocalOriginFailure: always,
		Interval:                               durationpb.New(ejection),
		BaseEjectionTime:                       durationpb.New(ejection),
		MaxEjectionTime:                        durationpb.New(ejectionAtMost),
		MaxEjectionPercent:                     always,
		// An answer is no reason to leave a replica: if it refuses this proxy, the others would do the same.
		EnforcingConsecutive_5Xx:              never,
		EnforcingConsecutiveGatewayFailure:    never,
		EnforcingSuccessRate:                  never,
		EnforcingLocalOriginSuccessRate:       never,
		EnforcingFailurePercentage:            never,
		EnforcingFailurePercentageLocalOrigin: never,
	}
	c.CommonLbConfig = &clusterv3.Cluster_CommonLbConfig{
		// When all replicas have failed, each is tried, as if there were no ejections.
		HealthyPanicThreshold: &typev3.Percent{Value: 1},
		// Otherwise Envoy would go on with a replica for a second when a trial of it has failed.
		UpdateMergeWindow: durationpb.New(0),
	}
}

// http2Always has no idle timeout: the streams never end, and pings distinguish a dead connection from a quiet one.
func http2Always(pings *corev3.KeepaliveSettings) *upstreamhttpv3.HttpProtocolOptions {
	return &upstreamhttpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
					Http2ProtocolOptions: &corev3.Http2ProtocolOptions{ConnectionKeepalive: pings},
				},
			},
		},
	}
}

// controlPlaneStream returns a stream of resources, with changes only, and with the node's description once.
func controlPlaneStream(replicas bool) *corev3.ApiConfigSource {
	atMost := reconnectAtMost
	if replicas {
		atMost = reconnectAfter
	}
	return &corev3.ApiConfigSource{
		ApiType:             corev3.ApiConfigSource_DELTA_GRPC,
		TransportApiVersion: corev3.ApiVersion_V3,
		GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
			EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{
				ClusterName: wire.ControlPlaneCluster,
				// Envoy 1.40 heeds this one of all the retry policies that a stream of resources can be given
				// (Config::Utility::prepareJitteredExponentialBackOffStrategy).
				RetryPolicy: &corev3.RetryPolicy{RetryBackOff: &corev3.BackoffStrategy{
					BaseInterval: durationpb.New(reconnectAfter), MaxInterval: durationpb.New(atMost),
				}},
			},
		}}},
		SetNodeOnFirstMessageOnly: true,
	}
}
