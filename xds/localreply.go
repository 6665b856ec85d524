package xds

import (
	"strconv"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/grpc/codes"
)

// localReplies has a gRPC call that ran into its timeout end with the status that
// says so. Envoy's own mapping of 504 is UNAVAILABLE, which clients take as leave
// to try again.
func localReplies() *hcmv3.LocalReplyConfig {
	timedOut := &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ResponseFlagFilter{
		ResponseFlagFilter: &accesslogv3.ResponseFlagFilter{Flags: []string{"UT"}},
	}}
	return &hcmv3.LocalReplyConfig{Mappers: []*hcmv3.ResponseMapper{{
		Filter: &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_AndFilter{
			AndFilter: &accesslogv3.AndFilter{Filters: []*accesslogv3.AccessLogFilter{timedOut, grpcRequest()}},
		}},
		// Envoy fills in a status of its own only where there is none.
		HeadersToAdd: []*corev3.HeaderValueOption{{
			Header: &corev3.HeaderValue{Key: "grpc-status", Value: strconv.Itoa(int(codes.DeadlineExceeded))},
		}},
	}}}
}

// grpcRequest matches what Envoy itself takes for gRPC, which gRPC-Web is not.
func grpcRequest() *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_HeaderFilter{
		HeaderFilter: &accesslogv3.HeaderFilter{Header: &routev3.HeaderMatcher{
			Name:                 "content-type",
			HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: matching(`application/grpc(\+.*)?`)},
		}},
	}}
}
