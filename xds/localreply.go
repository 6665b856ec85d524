package xds

import (
	"net/http"
	"strconv"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/grpc/codes"

	"breakwater.dev/xds/internal/message"
)

// What callers get that ask for what a proxy of Envoy's cannot pass on, where its own response is an
// empty 404.
const (
	noTunnel = "breakwater: this proxy makes no tunnels (CONNECT), since it sees nothing of the calls in them. Call http://HOST and " +
		"give the upstream tls: the proxy speaks TLS to the service. Or leave HOST out of https_proxy, by no_proxy\n"
	noServer = "breakwater: this proxy passes on no request for a server as a whole (OPTIONS *). Ask for a path, such as OPTIONS /\n"
)

// localReplies are the responses of a proxy itself that differ from Envoy's own.
func localReplies() *hcmv3.LocalReplyConfig {
	return &hcmv3.LocalReplyConfig{Mappers: []*hcmv3.ResponseMapper{
		timedOut(),
		instead(header(":method", message.Exactly(http.MethodConnect)), http.StatusMethodNotAllowed, noTunnel),
		instead(header(":path", message.Exactly("*")), http.StatusNotImplemented, noServer),
	}}
}

// timedOut has a gRPC call that ran into its timeout end with the status that says so. Envoy's
// own mapping of 504 is UNAVAILABLE, which clients take as leave to try again.
func timedOut() *hcmv3.ResponseMapper {
	return &hcmv3.ResponseMapper{
		Filter: allFilters(flagged([]string{"UT"}), grpcRequest()),
		// Envoy fills in a status of its own only where there is none.
		HeadersToAdd: []*corev3.HeaderValueOption{{
			Header: &corev3.HeaderValue{Key: "grpc-status", Value: strconv.Itoa(int(codes.DeadlineExceeded))},
		}},
	}
}

// instead has the proxy give another response of its own.
func instead(of *accesslogv3.AccessLogFilter, status uint32, body string) *hcmv3.ResponseMapper {
	return &hcmv3.ResponseMapper{
		Filter: of, StatusCode: count(status),
		Body: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: body}},
	}
}

// grpcRequest matches what Envoy itself takes for gRPC, which gRPC-Web is not.
func grpcRequest() *accesslogv3.AccessLogFilter {
	return header("content-type", matching(`application/grpc(\+.*)?`))
}

// header matches requests by a header.
func header(name string, value *matcherv3.StringMatcher) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_HeaderFilter{
		HeaderFilter: &accesslogv3.HeaderFilter{Header: &routev3.HeaderMatcher{
			Name:                 name,
			HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: value},
		}},
	}}
}
