package route

import (
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/filter"
)

const (
	anyHost = "*"
	// NoUpstream is the body of the response to a request whose host belongs to no upstream.
	NoUpstream = "breakwater: no upstream of the policy has this host\n"
	// defaultResponseBytes is Envoy's default for the size of a direct response
	// (RouteConfiguration.max_direct_response_body_size_bytes).
	defaultResponseBytes = 4096
)

// Configuration returns the routes of the egress listener. They have one virtual host for each upstream, and one for all
// hosts that belong to no upstream.
func Configuration(set *policy.Set) (*routev3.RouteConfiguration, error) {
	rc := &routev3.RouteConfiguration{
		Name: wire.EgressName,
		// "payments:8080" reaches the upstream that has the host "payments".
		IgnorePortInHostMatching: true,
	}
	taken := false
	if largest := largestFallback(set); largest > defaultResponseBytes {
		rc.MaxDirectResponseBodySizeBytes = wrapperspb.UInt32(largest)
	}
	for _, u := range set.Upstreams {
		if u.Protocol == policy.TCP {
			continue // its calls are connections, which have a listener of their own
		}
		host, err := virtualHost(u)
		if err != nil {
			return nil, err
		}
		rc.VirtualHosts = append(rc.VirtualHosts, host)
		taken = taken || slices.Contains(u.Hosts, anyHost)
	}
	if !taken {
		rc.VirtualHosts = append(rc.VirtualHosts, unknownHost())
	}
	return rc, nil
}

// virtualHost returns the routes of an upstream.
func virtualHost(u *policy.Upstream) (*routev3.VirtualHost, error) {
	vh := &routev3.VirtualHost{Name: u.Name, Domains: u.Hosts}
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

func unknownHost() *routev3.VirtualHost {
	return &routev3.VirtualHost{
		Name:    anyHost,
		Domains: []string{anyHost},
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

// largestFallback returns the size in bytes of the largest body that proxies answer with by themselves.
func largestFallback(set *policy.Set) uint32 {
	largest := 0
	for _, r := range set.Routes() {
		b := r.Breaker
		if b != nil && (b.Enabled() && b.DataPath == policy.Adaptive || filter.InProxy(b) || !b.FailOpen) {
			largest = max(largest, len(b.Fallback.Response.Body))
		}
	}
	return uint32(largest)
}
