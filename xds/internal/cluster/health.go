package cluster

import (
	"cmp"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"breakwater.dev/policy"
)

// healthChecks returns the active health check of an upstream, or nil if it has none.
func healthChecks(u *policy.Upstream) []*corev3.HealthCheck {
	h := u.HealthCheck
	if h == nil {
		return nil
	}
	check := &corev3.HealthCheck{
		Timeout:            durationpb.New(h.Timeout),
		Interval:           durationpb.New(h.Interval),
		UnhealthyThreshold: count(h.UnhealthyThreshold),
		HealthyThreshold:   count(h.HealthyThreshold),
		// Proxies that started together must not check together for ever.
		IntervalJitterPercent: 10,
		// By default Envoy checks an upstream without traffic once a minute only. The policy's interval holds from the start,
		// so that the first request finds the true state.
		NoTrafficInterval: durationpb.New(h.Interval),
	}
	if u.Protocol == policy.TCP {
		check.HealthChecker = &corev3.HealthCheck_TcpHealthCheck_{TcpHealthCheck: &corev3.HealthCheck_TcpHealthCheck{}}
		return []*corev3.HealthCheck{check}
	}
	if u.Protocol == policy.GRPC {
		check.HealthChecker = &corev3.HealthCheck_GrpcHealthCheck_{GrpcHealthCheck: &corev3.HealthCheck_GrpcHealthCheck{
			Authority: checkedHost(u),
		}}
		return []*corev3.HealthCheck{check}
	}
	check.HealthChecker = &corev3.HealthCheck_HttpHealthCheck_{HttpHealthCheck: &corev3.HealthCheck_HttpHealthCheck{
		Host:            checkedHost(u),
		Path:            h.Path,
		CodecClientType: codec(u.Protocol),
		// Any 2xx: Envoy's default takes only 200, and 204 is common. A redirect is most often a login page and says nothing
		// about the endpoint.
		ExpectedStatuses: []*typev3.Int64Range{{Start: 200, End: 300}},
	}}
	return []*corev3.HealthCheck{check}
}

// checkedHost returns the authority of a health check. Envoy's default is the name of the cluster.
func checkedHost(u *policy.Upstream) string { return cmp.Or(u.Authority(), u.Name) }

func codec(p policy.Protocol) typev3.CodecClientType {
	if p == policy.HTTP1 {
		return typev3.CodecClientType_HTTP1
	}
	return typev3.CodecClientType_HTTP2
}
