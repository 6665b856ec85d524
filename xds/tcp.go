package xds

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

const (
	tcpProxyFilter = "envoy.filters.network.tcp_proxy"
)

// tcpListener is where applications connect to an upstream whose protocol is TCP: at the
// address of the egress listener, and a port of its own.
func tcpListener(u *policy.Upstream, listen netip.AddrPort) (*listenerv3.Listener, error) {
	proxy := &tcpproxyv3.TcpProxy{
		StatPrefix:       u.Name,
		ClusterSpecifier: &tcpproxyv3.TcpProxy_Cluster{Cluster: u.Name},
		// Connections of a pool are quiet for as long as their application is; whose
		// business they are is known to both ends, and not to the proxy. Envoy's default is 1 h.
		IdleTimeout: durationpb.New(0),
	}
	if adaptive(&u.Routes[len(u.Routes)-1]) {
		log, err := tcpAccessLog(u.Name)
		if err != nil {
			return nil, err
		}
		proxy.AccessLog = []*accesslogv3.AccessLog{log}
		proxy.AccessLogOptions = &tcpproxyv3.TcpProxy_TcpAccessLogOptions{
			// Half-open has to know which connections are being made.
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
			Name:       tcpProxyFilter,
			ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed},
		}}}},
	}, nil
}
