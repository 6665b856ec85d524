package route

import (
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/connect"
)

// AnyHost is the pattern of every host.
const AnyHost = "*"

const (
	// NoUpstream is the body of the response to a request whose host belongs to no upstream.
	NoUpstream = "breakwater: no upstream of the policy has this host\n"
	// noUpstream names the virtual host of these requests. No upstream can have this name.
	noUpstream = "*"
)

// Configuration returns the route configuration of the egress listener. It is the same for all policies: the proxy gets each
// virtual host as a resource of its own (Envoy: VHDS), which only delta xDS has. Over SotW it needs the virtual hosts within:
// see [Whole].
func Configuration() *routev3.RouteConfiguration {
	rc := Whole()
	rc.Vhds = &routev3.Vhds{ConfigSource: connect.OverADS()}
	return rc
}

// Whole returns the route configuration without virtual hosts, which the caller adds.
func Whole() *routev3.RouteConfiguration {
	return &routev3.RouteConfiguration{
		Name: wire.RoutesName,
		// "payments:8080" reaches the upstream that has the host "payments".
		IgnorePortInHostMatching: true,
		// Envoy refuses a virtual host whose response has more bytes. Its default is 4096.
		MaxDirectResponseBodySizeBytes: wrapperspb.UInt32(policy.MaxBody),
	}
}

// VirtualHost returns the routes of an upstream, whose protocol is not TCP.
func VirtualHost(u *policy.Upstream) (*routev3.VirtualHost, error) {
	vh := &routev3.VirtualHost{Name: wire.VirtualHost(u.Name), Domains: u.Hosts}
	for i := range u.Routes {
		r := &u.Routes[i]
		whole := wholeRoute(u, r)
		if r.Breaker == nil {
			vh.Routes = append(vh.Routes, whole)
			continue
		}
		routes, err := SplitRoute(whole, r.Breaker, Assumptions{Protocol: u.Protocol, EgressCluster: wire.EgressCluster})
		if err != nil {
			return nil, err
		}
		vh.Routes = append(vh.Routes, routes...)
	}
	return vh, nil
}

// Unknown returns the virtual host of all hosts that belong to no upstream. Policies in which an upstream has [AnyHost] have
// no place for it.
func Unknown() *routev3.VirtualHost {
	return &routev3.VirtualHost{
		Name:    wire.VirtualHost(noUpstream),
		Domains: []string{AnyHost},
		Routes: []*routev3.Route{{
			Name:  "no-upstream",
			Match: match(policy.Match{}),
			Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{
				Status: 404,
				Body:   &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: NoUpstream}},
			}},
		}},
	}
}

// Takeovers returns the hosts of the upstreams that take over requests to an upstream, sorted.
func Takeovers(vh *routev3.VirtualHost) []string {
	var hosts []string
	for _, r := range vh.Routes {
		if host := takeoverHost(r); host != "" {
			hosts = append(hosts, host)
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}
