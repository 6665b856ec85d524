package xds

import (
	"fmt"
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"breakwater.dev/xds/internal/message"
	"breakwater.dev/xds/internal/route"
)

// Step returns the routes that a proxy with the routes had must get next on its way to the routes next. A request that
// another upstream takes over comes in once more, maybe on another worker of the proxy, and each worker starts to use new
// routes at its own moment. So all workers have to know a host before any of them sends requests to it.
//
// Step returns next if it sends requests to no host that had does not send requests to. It returns had itself if all such
// hosts lead to the same upstreams already. Otherwise it returns had with those hosts added; in a chain of fallbacks the
// last hosts come first.
func (t *Translation) Step(had, next *Resource) (*Resource, error) {
	before, after := had.Message.(*routev3.RouteConfiguration), next.Message.(*routev3.RouteConfiguration)
	fresh := takeoverHosts(after)
	for host := range takeoverHosts(before) {
		delete(fresh, host)
	}
	if len(fresh) == 0 {
		return next, nil
	}
	hosts := map[string]bool{}
	for _, vh := range after.VirtualHosts {
		for _, host := range vh.Domains {
			if fresh[host] && !leads(before, host, vh.Name) {
				hosts[host] = true
			}
		}
	}
	missing := lastOfChains(after, hosts)
	if len(missing) == 0 {
		return had, nil
	}
	step, _, err := t.variant("routes from "+had.Version+" to "+next.Version, had.Name, func() (message.Valid, error) {
		return withHosts(before, missing, after.MaxDirectResponseBodySizeBytes), nil
	})
	if err != nil {
		return nil, fmt.Errorf("translating routes to the hosts of fallbacks: %w", err)
	}
	return step, nil
}

// withHosts returns rc with the virtual hosts in more, and takes their hosts from other upstreams. Direct responses may
// have as many bytes as in rc, or largest bytes, whichever is more.
func withHosts(rc *routev3.RouteConfiguration, more []*routev3.VirtualHost, largest *wrapperspb.UInt32Value) *routev3.RouteConfiguration {
	out := shallow(rc)
	if largest.GetValue() > rc.MaxDirectResponseBodySizeBytes.GetValue() {
		out.MaxDirectResponseBodySizeBytes = largest
	}
	out.VirtualHosts = nil
	taken, added := map[string]bool{}, map[string]*routev3.VirtualHost{}
	for _, vh := range more {
		added[vh.Name] = vh
		for _, host := range vh.Domains {
			taken[host] = true
		}
	}
	for _, vh := range rc.VirtualHosts {
		domains := slices.DeleteFunc(slices.Clone(vh.Domains), func(host string) bool { return taken[host] })
		if with := added[vh.Name]; with != nil { // the upstream is there, with other hosts
			domains = append(domains, with.Domains...)
			delete(added, vh.Name)
		}
		if len(domains) > 0 {
			with := shallow(vh)
			with.Domains = domains
			out.VirtualHosts = append(out.VirtualHosts, with)
		}
	}
	for _, vh := range more {
		if added[vh.Name] != nil {
			out.VirtualHosts = append(out.VirtualHosts, vh)
		}
	}
	return out
}

// lastOfChains returns the virtual hosts of rc that have any of the hosts, with only these hosts. It leaves out the ones
// whose requests other hosts would take over: those must be there first.
func lastOfChains(rc *routev3.RouteConfiguration, hosts map[string]bool) []*routev3.VirtualHost {
	var all []*routev3.VirtualHost
	for _, vh := range rc.VirtualHosts {
		domains := slices.DeleteFunc(slices.Clone(vh.Domains), func(host string) bool { return !hosts[host] })
		if len(domains) == 0 || slices.ContainsFunc(vh.Routes, func(r *routev3.Route) bool { return hosts[route.TakeoverHost(r)] }) {
			continue
		}
		with := shallow(vh)
		with.Domains = domains
		all = append(all, with)
	}
	return all
}

// takeoverHosts returns the hosts of all upstreams that take over requests.
func takeoverHosts(rc *routev3.RouteConfiguration) map[string]bool {
	hosts := map[string]bool{}
	for _, vh := range rc.VirtualHosts {
		for _, r := range vh.Routes {
			if host := route.TakeoverHost(r); host != "" {
				hosts[host] = true
			}
		}
	}
	return hosts
}

// leads reports whether requests to a host, which is not a pattern, go to an upstream.
func leads(rc *routev3.RouteConfiguration, host, upstream string) bool {
	return slices.ContainsFunc(rc.VirtualHosts, func(vh *routev3.VirtualHost) bool {
		return vh.Name == upstream && slices.Contains(vh.Domains, host)
	})
}

// shallow returns a message with the same fields as m. Both share the values.
func shallow[M proto.Message](m M) M {
	from := m.ProtoReflect()
	to := from.New()
	from.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		to.Set(field, value)
		return true
	})
	return to.Interface().(M)
}
