package listener

import (
	"net/netip"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/connect"
	"breakwater.dev/xds/internal/message"
)

// TCP returns the listener to which applications connect for an upstream of protocol TCP: at the address of the egress
// listener, with a port of its own. The upstream's last route has its breaker.
func TCP(u *policy.Upstream, listen netip.AddrPort) (*listenerv3.Listener, error) {
	proxy := &tcpproxyv3.TcpProxy{
		StatPrefix:       u.Name,
		ClusterSpecifier: &tcpproxyv3.TcpProxy_Cluster{Cluster: u.Name},
		// Connections of a pool are quiet as long as their application is. Both ends know whether they still need a
		// connection; the proxy does not. Envoy's default is 1 h.
		IdleTimeout: durationpb.New(0),
	}
	if b := u.Routes[len(u.Routes)-1].Breaker; b.Enabled() && b.DataPath == policy.Adaptive {
		log, err := connectionLog(u.Name)
		if err != nil {
			return nil, err
		}
		proxy.AccessLog = []*accesslogv3.AccessLog{log}
		proxy.AccessLogOptions = &tcpproxyv3.TcpProxy_TcpAccessLogOptions{
			// In half-open the control plane has to know which connections are being made.
			FlushAccessLogOnStart:     true,
			FlushAccessLogOnConnected: true,
		}
	}
	packed, err := message.Pack(proxy)
	if err != nil {
		return nil, err
	}
	return &listenerv3.Listener{
		Name:             wire.TCPListener(u.Name),
		Address:          connect.Address(netip.AddrPortFrom(listen.Addr(), u.Port)),
		StatPrefix:       "tcp." + u.Name,
		TrafficDirection: corev3.TrafficDirection_OUTBOUND,
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name:       "envoy.filters.network.tcp_proxy",
			ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed},
		}}}},
	}, nil
}
