package listener

import (
	"net/http"
	"strconv"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"breakwater.dev/xds/internal/message"
)

// Responses to requests that Envoy cannot pass on. Its own response is an empty 404.
const (
	noTunnel = "breakwater: this proxy makes no tunnels (CONNECT), since it sees nothing of the calls in them. Call http://HOST and " +
		"give the upstream tls: the proxy speaks TLS to the service. Or leave HOST out of https_proxy, by no_proxy\n"
	noServer = "breakwater: this proxy passes on no request for a server as a whole (OPTIONS *). Ask for a path, such as OPTIONS /\n"
)

// localReplies replace some of the responses that Envoy makes itself.
func localReplies() *hcmv3.LocalReplyConfig {
	return &hcmv3.LocalReplyConfig{Mappers: []*hcmv3.ResponseMapper{
		timedOut(),
		instead(header(":method", message.Exactly(http.MethodConnect)), http.StatusMethodNotAllowed, noTunnel),
		instead(header(":path", message.Exactly("*")), http.StatusNotImplemented, noServer),
	}}
}

// timedOut ends a gRPC request that ran into its timeout with DEADLINE_EXCEEDED. Envoy itself maps 504 to UNAVAILABLE,
// which tells clients that they may try again.
func timedOut() *hcmv3.ResponseMapper {
	return &hcmv3.ResponseMapper{
		Filter: allFilters(flagged([]string{"UT"}), grpcRequest()),
		// Envoy fills in a status of its own only where there is none.
		HeadersToAdd: []*corev3.HeaderValueOption{{
			Header: &corev3.HeaderValue{Key: "grpc-status", Value: strconv.Itoa(int(codes.DeadlineExceeded))},
		}},
	}
}

// instead gives another response to the matching requests.
func instead(of *accesslogv3.AccessLogFilter, status uint32, body string) *hcmv3.ResponseMapper {
	return &hcmv3.ResponseMapper{
		Filter: of, StatusCode: wrapperspb.UInt32(status),
		Body: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: body}},
	}
}
