package plan

import (
	"slices"
	"time"

	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/message"
	"breakwater.dev/xds/discovery/internal/protocol"
)

// Proxy knows the resources that one proxy has over one stream, and plans the next ones.
type Proxy struct {
	kind protocol.Kind
	pool *xds.Pool
	subs map[string]*protocol.Subscription // by type URL
	seq  uint64                            // the number of the last response
	// The virtual hosts of the routes that the proxy was sent last, that it has taken, and that it gets when all its workers
	// know their hosts; nil: they are not known, or there are none.
	sent, taken, goal *xds.List
}

// NewProxy returns a proxy that has sent no request yet. Proxies with the same pool share what they have in common.
func NewProxy(kind protocol.Kind, pool *xds.Pool) *Proxy {
	return &Proxy{kind: kind, pool: pool, subs: map[string]*protocol.Subscription{}}
}

// Subscription returns the proxy's subscription to a type; nil: it has not asked for the type.
func (p *Proxy) Subscription(typeURL string) *protocol.Subscription { return p.subs[typeURL] }

// Subscribe returns the proxy's subscription to a type that it asks for now. It reports whether the proxy has asked for the
// type before. It returns nil for a type that is not served; a proxy may ask for such a type.
func (p *Proxy) Subscribe(typeURL string) (s *protocol.Subscription, known bool) {
	if s, known = p.subs[typeURL]; known || !slices.Contains(xds.Types, typeURL) {
		return s, known
	}
	s = protocol.New(p.kind, typeURL, p.pool)
	p.subs[typeURL] = s
	return s, false
}

// Apply applies a request to its subscription, for which [Proxy.Subscribe] was called.
func (p *Proxy) Apply(r protocol.Request) {
	first, clusters := p.subs[r.TypeURL].Apply(r), p.subs[xds.ClusterType]
	if first && r.TypeURL == xds.EndpointType && clusters != nil {
		// The proxy came back with the endpoints that it had, after clusters were sent to it.
		p.sendEndpointsAgain(clusters.Updated())
	}
}

// Respond returns a response with the resources of a type that the proxy lacks, and records it as sent. It returns nil if the
// proxy lacks nothing, has not asked for the type, or has yet to answer the last response.
func (p *Proxy) Respond(typeURL string, resources *xds.List, removals protocol.Removals) *message.Response {
	s := p.subs[typeURL]
	if s == nil || s.Pending() {
		return nil
	}
	p.seq++
	return s.Respond(p.seq, resources, removals)
}

// Retry has refused resources sent again whose pause is over. It returns when the next pause is over; zero: nothing waits.
// It never changes the subscription to the runtime layer, which is sent apart, but the layer's pause counts.
func (p *Proxy) Retry(now time.Time) (next time.Time) {
	for typeURL, s := range p.subs {
		if s.Pending() {
			continue // its answer leads here again
		}
		due := s.Due()
		if typeURL != xds.RuntimeType {
			due = s.Retry(now)
		}
		if !due.IsZero() && (next.IsZero() || due.Before(next)) {
			next = due
		}
	}
	return next
}

// Late reports whether the proxy may still route calls by other routes than the ones in resources: it has not taken these
// yet, or not long ago. Routes that it has refused do not count.
func (p *Proxy) Late(resources xds.Resources, now time.Time) bool {
	s := p.subs[p.routing()]
	if s == nil {
		return false
	}
	if s.Pending() || now.Sub(s.LastACK()) < xds.RouteToHost {
		return true
	}
	hosts := resources[xds.VirtualHostType]
	if p.kind == protocol.Sotw {
		return s.Lacks(xds.WholeRoutes(hosts))
	}
	return s.Lacks(hosts)
}

// Weight returns the memory for the proxy's subscriptions. The proxy gets the given resources.
func (p *Proxy) Weight(resources xds.Resources) protocol.Weight {
	var sum protocol.Weight
	for _, s := range p.subs {
		w := s.Weight(resources)
		sum.Sent += w.Sent
		sum.Names += w.Names
	}
	return sum
}
