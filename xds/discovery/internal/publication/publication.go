package publication

import (
	"fmt"
	"maps"
	"net/netip"

	"breakwater.dev/endpoints"
	"breakwater.dev/internal/lockorder"
	"breakwater.dev/policy"
	"breakwater.dev/xds"
)

// Publication is a policy translated for every kind of proxy that is connected, with the endpoints of its upstreams, ready to
// be published. Only the endpoints change while it is published.
type Publication struct {
	set       *policy.Set
	upstreams map[string]*policy.Upstream // the upstreams in set, by name
	access    *Access                     // to upstreams and to departing ones
	table     *endpoints.Table            // as the publication was prepared

	mu          lockorder.Mutex[lockorder.DiscoveryLeaf] // guards the fields below
	translation *xds.Translation
	endpoints   map[string]*xds.Resource // by upstream, departing ones included; none for upstreams that are found by DNS
	views       map[string]*view         // by [Calls.View]
}

// view has the resources for the proxies with one [Calls.View].
type view struct {
	resources xds.Resources
	changed   map[string]*xds.Resource // by upstream: endpoints that are newer than the ones in resources
	own       int                      // how many bytes were made for the view alone
}

// newPublication returns a publication that has no view yet. It is an error if the endpoints in table cannot be translated.
func newPublication(set *policy.Set, table *endpoints.Table, departing []departure) (*Publication, error) {
	joined := withDeparting(set, departing)
	p := &Publication{
		set: set, upstreams: xds.ByName(set), access: newAccess(joined, departing), table: table,
		translation: xds.NewTranslation(joined), endpoints: map[string]*xds.Resource{}, views: map[string]*view{},
	}
	all, err := xds.AllEndpoints(joined, table)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		p.endpoints[r.Name] = r
	}
	return p, nil
}

// Access returns the access of proxies to the upstreams.
func (p *Publication) Access() *Access { return p.access }

// Resources returns all resources, except the runtime layer, for proxies that listen there and call these upstreams. Proxies
// with the same [Calls.View] share them, so the caller must not change them.
func (p *Publication) Resources(listen netip.AddrPort, c Calls) (xds.Resources, error) {
	name := c.View(listen)
	p.mu.Lock()
	defer p.mu.Unlock()
	if v := p.views[name]; v != nil {
		return v.latest(), nil
	}
	rs, own, err := p.translation.For(c.Names, listen)
	if err != nil {
		return nil, fmt.Errorf("for a proxy that listens on %s: %w", listen, err)
	}
	for _, cluster := range rs[xds.ClusterType] {
		if r := p.endpoints[cluster.Name]; r != nil {
			rs[xds.EndpointType] = append(rs[xds.EndpointType], r)
		}
	}
	p.views[name] = &view{resources: rs, own: own}
	return rs, nil
}

// latest returns the resources of the view with the latest endpoints. The caller holds the publication's lock.
func (v *view) latest() xds.Resources {
	if len(v.changed) > 0 {
		v.resources = v.resources.With(maps.Values(v.changed))
		v.changed = nil
	}
	return v.resources
}

// Made returns the resources that [Publication.Resources] has made for a view; nil: none.
func (p *Publication) Made(name string) xds.Resources {
	p.mu.Lock()
	defer p.mu.Unlock()
	if v := p.views[name]; v != nil {
		return v.latest()
	}
	return nil
}

// Views returns the number of views for which resources are made.
func (p *Publication) Views() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.views)
}

// OwnBytes returns the number of bytes that were made for a view alone.
func (p *Publication) OwnBytes(name string) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if v := p.views[name]; v != nil {
		return int64(v.own)
	}
	return 0
}

// forget drops the resources that were made for a view.
func (p *Publication) forget(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.views, name)
}

// Step returns the routes that a proxy with the routes had takes next on its way to the routes next, see
// [xds.Translation.Step].
func (p *Publication) Step(had, next *xds.Resource) (*xds.Resource, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	step, err := p.translation.Step(had, next)
	if err != nil {
		return nil, fmt.Errorf("from one policy to the next: %w", err)
	}
	return step, nil
}
