package publication

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"breakwater.dev/internal/lockorder"
	"breakwater.dev/policy"
	"breakwater.dev/xds"
)

// Publication is a policy translated for every kind of proxy that is connected, ready to be published.
type Publication struct {
	set       *policy.Set
	upstreams map[string]*policy.Upstream // the upstreams in set, by name
	access    *Access                     // to upstreams and to departing ones
	ejected   map[string][]netip.AddrPort // by upstream; not changed

	// The lock guards the fields below it. Publications that differ only in their ejections share the lock, the translation
	// and own.
	mu          *lockorder.Mutex[lockorder.DiscoveryLeaf]
	translation *xds.Translation
	plain       map[string]xds.Resources // by view, as translated
	views       map[string]xds.Resources // by view, with the ejected endpoints marked
	own         map[string]int           // by view, the number of bytes that were made for it alone
}

// newPublication returns a publication that is not translated for any proxy yet.
func newPublication(set *policy.Set, departing []departure) *Publication {
	joined := withDeparting(set, departing)
	return &Publication{
		set: set, upstreams: xds.ByName(set), access: newAccess(joined, departing),
		mu: &lockorder.Mutex[lockorder.DiscoveryLeaf]{}, translation: xds.NewTranslation(joined),
		plain: map[string]xds.Resources{}, views: map[string]xds.Resources{}, own: map[string]int{},
	}
}

// ID distinguishes publications. Publications that differ only in their ejections have the same ID. The zero value stands for
// no publication.
type ID struct{ translation *xds.Translation }

// ID returns the publication's ID.
func (p *Publication) ID() ID { return ID{p.translation} }

// Access returns the access of proxies to the upstreams.
func (p *Publication) Access() *Access { return p.access }

// Resources returns all resources, except the runtime layer, for proxies that listen there and call these upstreams. Proxies
// with the same [Calls.View] share them, so the caller must not change them.
func (p *Publication) Resources(listen netip.AddrPort, c Calls) (xds.Resources, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	view := c.View(listen)
	if rs, ok := p.views[view]; ok {
		return rs, nil
	}
	rs, own, err := p.translation.For(c.Names, listen)
	if err != nil {
		return nil, fmt.Errorf("for a proxy that listens on %s: %w", listen, err)
	}
	shown, err := mark(rs, rs, p.ejected, slices.Collect(maps.Keys(p.ejected)))
	if err != nil {
		return nil, fmt.Errorf("for a proxy that listens on %s: %w", listen, err)
	}
	p.plain[view], p.views[view], p.own[view] = rs, shown, own
	return shown, nil
}

// Made returns the resources that [Publication.Resources] has made for a view; nil: none.
func (p *Publication) Made(view string) xds.Resources {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.views[view]
}

// Views returns the number of views for which resources are made.
func (p *Publication) Views() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.views)
}

// OwnBytes returns the number of bytes that were made for a view alone.
func (p *Publication) OwnBytes(view string) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int64(p.own[view])
}

// forget drops the resources that were made for a view.
func (p *Publication) forget(view string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.plain, view)
	delete(p.views, view)
	delete(p.own, view)
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
