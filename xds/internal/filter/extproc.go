package filter

import (
	"time"

	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/message"
)

// MessageTimeout is how long a proxy waits for each answer of the control plane.
const MessageTimeout = 200 * time.Millisecond

// A request asks again after a random time of up to askBackoff, and then of up to three times as long. By then the replica
// that has failed is ejected. Two of three replicas may fail at once.
const (
	askRetries = 2
	askBackoff = 5 * time.Millisecond
)

// forwardedHeaders are the only headers of a request or response that the control plane receives: they distinguish gRPC
// and sockets from HTTP, and say the outcome. The list holds for pseudo headers too.
func forwardedHeaders() *matcherv3.ListStringMatcher {
	list := &matcherv3.ListStringMatcher{}
	for _, name := range []string{":status", "content-type", "grpc-status", "grpc-timeout", "upgrade", wire.TimesHeader} {
		list.Patterns = append(list.Patterns, message.Exactly(name))
	}
	return list
}

// responseAttributes go with the headers of a response. They distinguish the proxy's own response, and its reason, from
// the upstream's.
func responseAttributes() []string { return []string{wire.DetailsAttribute, wire.FlagsAttribute} }

// requestAttributes go with the headers of a request through [NodeExtProc]: node.id in the proxy's own bootstrap, which no
// client can forge. Two other ways are closed: xds.node without a field is 80 KB for each request, and CEL in the metadata
// of a gRPC service crashes the proxy with its first request (Envoy 1.37 and 1.40).
func requestAttributes() []string { return []string{wire.NodeIDAttribute} }

// extProc asks the control plane about a request and reports the outcome. The control plane can reject a request, or mark
// it and have it routed again.
func extProc(requestAttributes []string, replicas bool) *extprocv3.ExternalProcessor {
	return &extprocv3.ExternalProcessor{
		GrpcService: askService(replicas),
		// A request that cannot ask goes on to where its route leads: to the service, or to the fallback.
		FailureModeAllow:   true,
		ProcessingMode:     processingMode(extprocv3.ProcessingMode_SKIP),
		RequestAttributes:  requestAttributes,
		ResponseAttributes: responseAttributes(),
		MessageTimeout:     durationpb.New(MessageTimeout),
		StatPrefix:         wire.ControlPlaneCluster,
		// A rule against all headers would remove the headers of a rejection too: its content type, its Retry-After.
		MutationRules: &mutationv3.HeaderMutationRules{DisallowSystem: wrapperspb.Bool(true)},
		ForwardRules:  &extprocv3.HeaderForwardingRules{AllowedHeaders: forwardedHeaders()},
		// A request is routed again only if the answer says so: a rejected request goes to its fallback, and an admitted
		// one from the asking route to the service.
		RouteCacheAction: extprocv3.ExternalProcessor_DEFAULT,
		MetadataOptions: &extprocv3.MetadataOptions{ReceivingNamespaces: &extprocv3.MetadataOptions_MetadataNamespaces{
			Untyped: []string{wire.Namespace},
		}},
		EmitClientSpan: wrapperspb.Bool(false),
	}
}

// askService is the control plane as a request asks it. There is no timeout: the stream lasts as long as the request.
//
// With replicas, a request whose connection fails before it has an answer asks another one: the first has just been ejected. A permit
// that it may have given is a lease, which ends. Envoy takes the longest back-off for the timeout of each try too, after which the
// request has stopped waiting anyway. With a single control plane there is none to ask, and a request would pay for it with a
// tenth more of the CPU that asking costs the proxy.
func askService(replicas bool) *corev3.GrpcService {
	s := &corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
		EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: wire.ControlPlaneCluster, SkipEnvoyHeaders: true},
	}}
	if replicas {
		s.RetryPolicy = &corev3.RetryPolicy{
			RetryOn: "connect-failure,refused-stream,reset", NumRetries: wrapperspb.UInt32(askRetries),
			RetryBackOff: &corev3.BackoffStrategy{
				BaseInterval: durationpb.New(askBackoff), MaxInterval: durationpb.New(MessageTimeout),
			},
		}
	}
	return s
}

func processingMode(responseTrailers extprocv3.ProcessingMode_HeaderSendMode) *extprocv3.ProcessingMode {
	return &extprocv3.ProcessingMode{
		RequestHeaderMode:   extprocv3.ProcessingMode_SEND,
		ResponseHeaderMode:  extprocv3.ProcessingMode_SEND,
		RequestBodyMode:     extprocv3.ProcessingMode_NONE,
		ResponseBodyMode:    extprocv3.ProcessingMode_NONE,
		RequestTrailerMode:  extprocv3.ProcessingMode_SKIP,
		ResponseTrailerMode: responseTrailers,
	}
}

// AskExtProc has every request of a route ask the control plane, for a breaker whose upstream has protocol p. A request
// that gets no answer goes on to where the route leads. If fallsBack is true that is the fallback, so the control plane
// must mark the requests that it admits and have them routed again.
func AskExtProc(r *routev3.Route, p policy.Protocol, b *policy.Breaker, fallsBack bool) error {
	filter := ExtProc
	if b.Spec.PerNode {
		filter = NodeExtProc
	}
	if err := configure(r, filter, extProcOverride(p, b, fallsBack)); err != nil {
		return err
	}
	return turnOn(r, timesFilter) // for the whole request, whichever route it takes next
}

// extProcOverride tells the control plane which breaker a route's requests belong to, and which routes there are beside it.
func extProcOverride(p policy.Protocol, b *policy.Breaker, fallsBack bool) *extprocv3.ExtProcPerRoute {
	overrides := &extprocv3.ExtProcOverrides{
		GrpcInitialMetadata: []*corev3.HeaderValue{{Key: wire.BreakerMetadata, Value: b.Spec.Key.String()}},
	}
	if fallsBack {
		overrides.GrpcInitialMetadata = append(overrides.GrpcInitialMetadata, &corev3.HeaderValue{Key: wire.AskingMetadata, Value: "true"})
	}
	if InProxy(b) {
		overrides.GrpcInitialMetadata = append(overrides.GrpcInitialMetadata, &corev3.HeaderValue{Key: wire.FallbackMetadata, Value: "true"})
	}
	if p == policy.GRPC {
		// The status of a gRPC response is in its trailers.
		overrides.ProcessingMode = processingMode(extprocv3.ProcessingMode_SEND)
	}
	return &extprocv3.ExtProcPerRoute{Override: &extprocv3.ExtProcPerRoute_Overrides{Overrides: overrides}}
}

// InProxy reports whether only the proxy can produce the fallback of a breaker, so that the control plane has rejected
// requests routed again in place of an answer.
func InProxy(b *policy.Breaker) bool { return b.Fallback.Upstream != nil || b.Fallback.Cached != nil }
