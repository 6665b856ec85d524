package xds

import (
	"fmt"
	"slices"

	"breakwater.dev/wire"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Step returns the routes that a proxy, which has those of had, is to take next on its way to those of next. A
// call that another upstream takes over comes in once more, maybe on another worker of the proxy, and each worker
// takes up new routes at its own moment. So all of them have to know a host before any sends calls there.
//
// It is next where that sends calls to no host that had does not send calls to; had itself where all such
// hosts lead to the same upstreams already; else had with those hosts, of a chain of fallbacks with the last ones first.
func (t *Translation) Step(had, next *Resource) (*Resource, error) {
	before, after := had.Message.(*routev3.RouteConfiguration), next.Message.(*routev3.RouteConfiguration)
	fresh := takenOverHosts(after)
	for host := range takenOverHosts(before) {
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
	lacking := lacking(after, hosts)
	if len(lacking) == 0 {
		return had, nil
	}
	step, _, err := t.variant("routes from "+had.Version+" to "+next.Version, func() (string, proto.Message, error) {
		return had.Name, withHosts(before, lacking, after.MaxDirectResponseBodySizeBytes), nil
	})
	if err != nil {
		return nil, fmt.Errorf("translating routes to the hosts of fallbacks: %w", err)
	}
	return step, nil
}

// withHosts is rc with the virtual hosts that lack, whose hosts are no other upstream's any more. Their direct
// responses have at most so many bytes.
func withHosts(rc *routev3.RouteConfiguration, lack []*routev3.VirtualHost, largest *wrapperspb.UInt32Value) *routev3.RouteConfiguration {
	out := shallow(rc)
	if largest.GetValue() > rc.MaxDirectResponseBodySizeBytes.GetValue() {
		out.MaxDirectResponseBodySizeBytes = largest
	}
	out.VirtualHosts = nil
	taken, lacks := map[string]bool{}, map[string]*routev3.VirtualHost{}
	for _, vh := range lack {
		lacks[vh.Name] = vh
		for _, host := range vh.Domains {
			taken[host] = true
		}
	}
	for _, vh := range rc.VirtualHosts {
		domains := slices.DeleteFunc(slices.Clone(vh.Domains), func(host string) bool { return taken[host] })
		if more := lacks[vh.Name]; more != nil { // it has other hosts so far
			domains = append(domains, more.Domains...)
			delete(lacks, vh.Name)
		}
		if len(domains) > 0 {
			with := shallow(vh)
			with.Domains = domains
			out.VirtualHosts = append(out.VirtualHosts, with)
		}
	}
	for _, vh := range lack {
		if lacks[vh.Name] != nil {
			out.VirtualHosts = append(out.VirtualHosts, vh)
		}
	}
	return out
}

// lacking are the virtual hosts of rc with those of the hosts that they have, but for those whose calls would be taken
// over by others of the hosts.
func lacking(rc *routev3.RouteConfiguration, hosts map[string]bool) []*routev3.VirtualHost {
	var all []*routev3.VirtualHost
	for _, vh := range rc.VirtualHosts {
		domains := slices.DeleteFunc(slices.Clone(vh.Domains), func(host string) bool { return !hosts[host] })
		if len(domains) == 0 || slices.ContainsFunc(vh.Routes, func(r *routev3.Route) bool { return hosts[takenOverTo(r)] }) {
			continue
		}
		with := shallow(vh)
		with.Domains = domains
		all = append(all, with)
	}
	return all
}

// takenOverHosts are the hosts of upstreams that take calls over.
func takenOverHosts(rc *routev3.RouteConfiguration) map[string]bool {
	hosts := map[string]bool{}
	for _, vh := range rc.VirtualHosts {
		for _, r := range vh.Routes {
			if host := takenOverTo(r); host != "" {
				hosts[host] = true
			}
		}
	}
	return hosts
}

// takenOverTo is the host that a route sends calls to through the proxy once more; "": it does not.
func takenOverTo(r *routev3.Route) string {
	if to := r.GetRoute(); to.GetCluster() == wire.EgressCluster {
		return to.GetHostRewriteLiteral()
	}
	return ""
}

// leads tells whether calls to a host, which no pattern is, are those of an upstream.
func leads(rc *routev3.RouteConfiguration, host, upstream string) bool {
	return slices.ContainsFunc(rc.VirtualHosts, func(vh *routev3.VirtualHost) bool {
		return vh.Name == upstream && slices.Contains(vh.Domains, host)
	})
}

// shallow is a message with all that m has, which both share.
func shallow[M proto.Message](m M) M {
	from := m.ProtoReflect()
	to := from.New()
	from.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		to.Set(field, value)
		return true
	})
	return to.Interface().(M)
}
