package fleet

import (
	"fmt"
	"hash/maphash"

	"breakwater.dev/bench/fleet/internal/expect"
	"breakwater.dev/bench/fleet/internal/xdswire"
)

// takeLayers applies a response about runtime layers.
func (a *ads) takeLayers(s *subscription, size int) {
	refusal := a.proxy.takeLayers(a.response, size, a.proxy.layersOverADS())
	if clusters := a.subs[xdswire.Cluster]; !clusters.begun && a.proxy.layersAnswered() {
		a.subscribe(clusters, nil, nil)
	}
	a.answer(s, refusal)
}

// layersAnswered reports whether a response about each layer of the aggregated stream has come.
func (p *proxy) layersAnswered() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.layers {
		if l.OverADS && !l.answered {
			return false
		}
	}
	return true
}

// takeClusters applies a response about clusters: it asks for the endpoints and secrets of new clusters, and no longer for the
// endpoints of removed ones. The answer comes after that, and when the proxy has started only after the endpoints have come.
func (a *ads) takeClusters(s *subscription) {
	var refusal string
	var changes, secrets change
	for i := range a.response.Resources {
		r := &a.response.Resources[i]
		if refused := a.proxy.variant.Refuse; refused != "" && string(r.Name) == refused {
			refusal = fmt.Sprintf("Error adding/updating cluster(s) %s: the simulated proxy refuses it", r.Name)
		}
	}
	for i := range a.response.Resources {
		r := &a.response.Resources[i]
		if refusal != "" && string(r.Name) == a.proxy.variant.Refuse {
			continue
		}
		name := s.names.number(r.Name)
		if !a.apply(s, name, r, refusal != "") {
			continue
		}
		if problem := a.references(name, r.Body, &changes, &secrets); problem != nil && refusal == "" {
			refusal = problem.Error()
		}
	}
	for _, name := range a.removed(s) {
		a.drop(name, &changes, &secrets)
	}
	a.resubscribe(xdswire.Endpoint, changes)
	a.resubscribe(xdswire.Secret, secrets)
	a.proceed()
	answer := a.answerTo(s, refusal)
	if a.started && len(a.warming) > 0 {
		a.held = a.pack(s, answer)
		return
	}
	a.queue(s, answer)
}

// change is names to subscribe to, and names to unsubscribe from.
type change struct{ add, remove []string }

func (a *ads) resubscribe(typeURL string, c change) {
	if s := a.subs[typeURL]; len(c.add)+len(c.remove) > 0 {
		a.subscribe(s, c.add, c.remove)
	}
}

// references notes the endpoints and secrets of a cluster that is new or has changed.
func (a *ads) references(cluster uint32, body []byte, changes, secrets *change) error {
	name, err := xdswire.EndpointsOf(body)
	if err != nil {
		return err
	}
	if name != nil {
		endpoints := a.subs[xdswire.Endpoint]
		number := endpoints.names.number(name)
		a.setEndpoints(cluster, number+1)
		a.warming[number] = true
		if endpoints.get(number) == absent {
			endpoints.set(number, awaited)
			changes.add = append(changes.add, string(name))
		}
	}
	names, err := xdswire.SecretsOf(body)
	for _, name := range names {
		s := a.subs[xdswire.Secret]
		number := s.names.number(name)
		a.secrets[cluster] = append(a.secrets[cluster], number)
		if s.get(number) == absent {
			s.set(number, awaited)
			secrets.add = append(secrets.add, string(name))
		}
	}
	return err
}

// drop forgets a cluster with its endpoints. Secrets stay: other clusters may have them.
func (a *ads) drop(cluster uint32, changes, _ *change) {
	if int(cluster) >= len(a.endpoints) || a.endpoints[cluster] == 0 {
		return
	}
	number := a.endpoints[cluster] - 1
	a.setEndpoints(cluster, 0)
	delete(a.warming, number)
	endpoints := a.subs[xdswire.Endpoint]
	endpoints.set(number, absent)
	changes.remove = append(changes.remove, endpoints.names.text(number))
}

// setEndpoints notes the endpoints of a cluster, as one more than the number of their name; 0: it has none any longer.
func (a *ads) setEndpoints(cluster, endpoints uint32) {
	if n := int(cluster) + 1 - len(a.endpoints); n > 0 {
		a.endpoints = append(a.endpoints, make([]uint32, n)...)
	}
	a.clusters += min(int(endpoints), 1) - min(int(a.endpoints[cluster]), 1)
	a.endpoints[cluster] = endpoints
}

// takeOthers applies a response about any other type, and asks for what new resources refer to.
func (a *ads) takeOthers(s *subscription) error {
	var routes change
	for i := range a.response.Resources {
		r := &a.response.Resources[i]
		name := s.names.number(r.Name)
		applied := a.apply(s, name, r, false)
		switch {
		case s.typeURL == xdswire.Endpoint:
			delete(a.warming, name)
		case !applied:
		case s.typeURL == xdswire.Listener:
			if err := a.listens(r.Body, &routes); err != nil {
				return err
			}
		case s.typeURL == xdswire.Route:
			has, err := xdswire.HasVHDS(r.Body)
			if err != nil {
				return err
			}
			a.vhds = a.vhds || has
		}
	}
	for _, name := range a.removed(s) {
		if s.typeURL == xdswire.Endpoint {
			delete(a.warming, name)
		}
	}
	a.proceed()
	a.resubscribe(xdswire.Route, routes)
	if hosts := a.subs[xdswire.VirtualHost]; a.vhds && a.delta && !hosts.begun {
		a.subscribe(hosts, nil, nil)
	}
	a.answer(s, "")
	return nil
}

// listens notes the route configurations of a listener.
func (a *ads) listens(body []byte, routes *change) error {
	names, err := xdswire.RoutesOf(body)
	for _, name := range names {
		s := a.subs[xdswire.Route]
		if number := s.names.number(name); s.get(number) == absent {
			s.set(number, awaited)
			routes.add = append(routes.add, string(name))
		}
	}
	return err
}

// apply notes a resource that has come, and reports whether it is another one than the proxy had. The versions in a response
// that is refused are not kept.
func (a *ads) apply(s *subscription, name uint32, r *xdswire.Resource, refused bool) bool {
	version := r.Version
	if !a.delta {
		version = bodyVersion(r.Body)
	}
	number := a.proxy.fleet.versions.number(version)
	had := s.get(name)
	if !s.wildcard && had == absent {
		return false // the proxy has unsubscribed meanwhile
	}
	if had == number {
		if a.delta && !(s.typeURL == xdswire.Endpoint && a.warming[name]) {
			a.proxy.again(s.typeURL, r.Name)
		}
		return false
	}
	if !refused {
		s.set(name, number)
	}
	a.proxy.happened(expect.Event{TypeURL: s.typeURL, Name: r.Name, Body: r.Body}, version)
	return true
}

var bodySeed = maphash.MakeSeed()

// bodyVersion returns a version for a resource of SotW, where only the whole response has one.
func bodyVersion(body []byte) []byte {
	sum := maphash.Bytes(bodySeed, body)
	return []byte(fmt.Sprintf("%016x", sum))
}

// removed notes the resources that are gone, and returns the numbers of their names.
func (a *ads) removed(s *subscription) (gone []uint32) {
	for _, name := range a.response.Removed {
		gone = append(gone, s.names.number(name))
	}
	if !a.delta && (s.typeURL == xdswire.Cluster || s.typeURL == xdswire.Listener) {
		present := map[uint32]bool{}
		for i := range a.response.Resources {
			present[s.names.number(a.response.Resources[i].Name)] = true
		}
		for name, what := range s.have {
			if what >= firstVersion && !present[uint32(name)] {
				gone = append(gone, uint32(name))
			}
		}
	}
	for _, name := range gone {
		s.remove(name)
		a.proxy.happened(expect.Event{TypeURL: s.typeURL, Name: []byte(s.names.text(name))}, nil)
	}
	return gone
}

// proceed sends what has waited for the response at hand: the answer about clusters, and the first request for listeners.
func (a *ads) proceed() {
	if a.held != nil && len(a.warming) == 0 {
		a.requests, a.held = append(a.requests, a.held), nil
	}
	clusters, endpoints := a.subs[xdswire.Cluster], a.subs[xdswire.Endpoint]
	if !a.started && clusters.answered && endpoints.waiting == 0 {
		a.started = true
		a.warming = map[uint32]bool{} // the old one had room for all clusters
		a.subscribe(a.subs[xdswire.Listener], nil, nil)
	}
}

// check tells the fleet whether the proxy has as many upstreams as it needs.
func (a *ads) check() {
	p := a.proxy
	change := p.fleet.expected.Load()
	if change == nil {
		return
	}
	want, needed := change.NeedsWhole(p.index)
	if !needed {
		return
	}
	routes := a.subs[xdswire.Route].count > 0
	if a.vhds {
		routes = a.subs[xdswire.VirtualHost].count >= want
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	// Versions of clusters in a response that was refused are not kept, so clusters are counted by their endpoints.
	p.whole = a.clusters >= want && a.subs[xdswire.Endpoint].count >= want && a.subs[xdswire.Listener].count > 0 && routes
	p.checkWhole(change)
}
