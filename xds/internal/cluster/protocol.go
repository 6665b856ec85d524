package cluster

import (
	"fmt"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	upstreamhttpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"breakwater.dev/policy"
)

const (
	// upstreamIdleTimeout closes idle connections before common servers do (60 s is usual, Envoy's own default is an hour).
	// A request on a connection that its server has just closed is reset, and would count against the upstream.
	upstreamIdleTimeout = 30 * time.Second
	// http2ProbeAfter is how long an HTTP/2 connection can be idle before a proxy pings it ahead of the next request, and
	// http2ProbeTimeout how long it waits for the answer. Regular pings would break the rules of gRPC servers, which allow
	// one in five minutes.
	http2ProbeAfter   = 10 * time.Second
	http2ProbeTimeout = time.Second
)

// protocolOptions fixes the protocol: a protocol that Envoy chooses itself can change with the first request, and the
// breaker would judge other responses.
func protocolOptions(p policy.Protocol) (*upstreamhttpv3.HttpProtocolOptions, error) {
	explicit := &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig{}
	switch p {
	case policy.HTTP1:
		explicit.ProtocolConfig = &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{
			HttpProtocolOptions: &corev3.Http1ProtocolOptions{EnableTrailers: true},
		}
	case policy.HTTP2, policy.GRPC:
		explicit.ProtocolConfig = &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
			Http2ProtocolOptions: &corev3.Http2ProtocolOptions{ConnectionKeepalive: &corev3.KeepaliveSettings{
				ConnectionIdleInterval: durationpb.New(http2ProbeAfter),
				Timeout:                durationpb.New(http2ProbeTimeout),
			}},
		}
	default:
		return nil, fmt.Errorf("protocol %q has no translation", p)
	}
	return &upstreamhttpv3.HttpProtocolOptions{
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{IdleTimeout: durationpb.New(upstreamIdleTimeout)},
		UpstreamProtocolOptions: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: explicit,
		},
	}, nil
}
