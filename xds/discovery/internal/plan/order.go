package plan

import (
	"slices"
	"time"

	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/message"
	"breakwater.dev/xds/discovery/internal/protocol"
)

// waitsFor lists, by type, the types that must be settled before changes are sent, so that no resource refers to one that
// the proxy lacks. Endpoints and secrets wait for nothing: Envoy holds its answer about clusters back until it has theirs.
var waitsFor = map[string][]string{
	xds.ListenerType: {xds.ClusterType},
	xds.RouteType:    {xds.ClusterType, xds.EndpointType, xds.SecretType, xds.ListenerType},
	// All virtual hosts of a proxy that starts have to be there before it serves, and so have their clusters.
	xds.VirtualHostType: {xds.ClusterType, xds.EndpointType, xds.SecretType, xds.ListenerType, xds.RouteType},
}

// goLast are the types whose resources others refer to. Their resources are removed after the last reference.
var goLast = []string{xds.ClusterType, xds.EndpointType, xds.SecretType}

// Next returns the responses that the proxy is sent now, and after what time to look again; 0: there is no need to before
// the next request or change of the resources. The proxy gets the given resources. Additions come from clusters to routes,
// each when the proxy has taken the resources that it refers to. Then come removals: a cluster is removed only when the
// routes to it are gone, and when the calls that chose one of these routes are over.
func (p *Proxy) Next(resources xds.Resources, now time.Time) (out []*message.Response, again time.Duration, err error) {
	for _, typeURL := range xds.Types {
		if typeURL == xds.RuntimeType {
			continue
		}
		removals := protocol.RemoveAll
		if slices.Contains(goLast, typeURL) {
			removals = protocol.Removals{}
		}
		if s := p.subs[typeURL]; s != nil {
			s.MarkUsed(resources[typeURL])
		}
		if !p.settled(waitsFor[typeURL]...) {
			continue
		}
		if typeURL == p.routing() {
			if resources, again, err = p.step(resources, now); err != nil {
				return nil, 0, err
			}
		}
		out = p.add(out, typeURL, resources, removals)
	}
	out, wait := p.remove(out, resources, now)
	if wait > 0 {
		again = wait
	}
	// In SotW, a response that removes clusters repeats all others, and the proxy may have refused some of them before.
	// They need their endpoints now, since nothing else wakes the stream for them.
	return p.add(out, xds.EndpointType, resources, protocol.Removals{}), again, nil
}

// add appends a response to out if the proxy lacks resources of a type and has answered the last response.
func (p *Proxy) add(out []*message.Response, typeURL string, resources xds.Resources, removals protocol.Removals) []*message.Response {
	r := p.Respond(typeURL, resources[typeURL], removals)
	if r == nil {
		return out
	}
	if typeURL == xds.ClusterType {
		p.sendEndpointsAgain(p.subs[typeURL].Updated())
	}
	return append(out, r)
}

// sendEndpointsAgain has the endpoints of clusters sent again. A cluster that changes is a new one to Envoy, which waits
// for endpoints but does not ask for them, since it still has its subscription (envoyproxy/envoy issue 47302): the
// change would take effect only when its initial_fetch_timeout, 15 s, is over.
func (p *Proxy) sendEndpointsAgain(clusters []string) {
	if s := p.subs[xds.EndpointType]; s != nil {
		for _, name := range clusters {
			s.SendAgainIfNamed(name)
		}
	}
}

// settled reports whether no response of these types awaits its answer.
func (p *Proxy) settled(types ...string) bool {
	for _, typeURL := range types {
		if s := p.subs[typeURL]; s != nil && s.Pending() {
			return false
		}
	}
	return true
}

// remove appends responses to out that remove clusters, endpoints and secrets that may go now. It returns after what time the
// next may go; 0: nothing waits.
func (p *Proxy) remove(out []*message.Response, resources xds.Resources, now time.Time) ([]*message.Response, time.Duration) {
	var least time.Duration
	for _, typeURL := range goLast {
		removals, wait := p.unnamed(typeURL, resources, now)
		if wait > 0 && (least == 0 || wait < least) {
			least = wait
		}
		out = p.add(out, typeURL, resources, removals)
	}
	return out, least
}

// unnamed returns the resources of a type that may be removed from the proxy: its routes and listeners have not referred to
// them for a while, and no call is left that chose them before that. While the proxy refuses routes or listeners, its old
// ones may still refer to any resource. It returns after what time the next may go; 0: nothing waits.
func (p *Proxy) unnamed(typeURL string, resources xds.Resources, now time.Time) (removals protocol.Removals, next time.Duration) {
	s := p.subs[typeURL]
	if s == nil || p.goal != nil || !p.settled(xds.Types...) || !p.routesKnown() || p.refuses(xds.RouteType) || p.refuses(xds.ListenerType) {
		return protocol.Removals{}, 0
	}
	if typeURL == xds.SecretType && p.refuses(xds.VirtualHostType) {
		return protocol.Removals{}, 0
	}
	next = s.MarkUnused(p.referred(typeURL, resources[typeURL]), now, xds.RouteToHost)
	return protocol.RemoveUnused(now.Add(-xds.RouteToHost)), next
}

// routesKnown reports whether the routes that the proxy has are known. A proxy that comes back with clusters has routes
// to them, and asks for those after the clusters.
func (p *Proxy) routesKnown() bool {
	clusters := p.subs[xds.ClusterType]
	return clusters == nil || !clusters.Resumed() || p.subs[p.routing()] != nil
}

// refuses reports whether the proxy has refused anything of a type.
func (p *Proxy) refuses(typeURL string) bool {
	s := p.subs[typeURL]
	return s != nil && s.RefusesAny()
}
