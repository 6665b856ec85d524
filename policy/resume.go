package policy

import "slices"

// accepted is a compilation of all objects together that found no problem.
type accepted struct {
	objects   []*Object // in order of precedence
	upstreams []*reading
	layers    []*layer
}

// resume goes on from the last compilation, if each object that has changed takes the place of an object with the same name,
// hosts, port, routes and targets, and is right by itself. Then objects refer to one another as before, and exclude
// one another as little as before, so that they need not be compared again. Otherwise resume reports false.
func (c *compilation) resume() bool {
	last := c.memory.last
	if last == nil || len(last.objects) != len(c.objects) {
		return false
	}
	var changed []int
	for i, o := range c.objects {
		if o == last.objects[i] {
			continue
		}
		if len(o.problems) > 0 || !o.hasSpec || !c.memory.reading(o).replaces(c.memory.readings[last.objects[i]]) {
			return false
		}
		changed = append(changed, i)
	}
	c.upstreams, c.layers = last.upstreams, last.layers
	for _, i := range changed {
		old, r := c.memory.readings[last.objects[i]], c.memory.reading(c.objects[i])
		delete(c.memory.readings, last.objects[i])
		if r.at = old.at; r.upstream != nil {
			c.upstreams[r.at] = r
			continue
		}
		c.layers[r.at] = r.layer
		for _, t := range r.layer.targets {
			c.byTarget[t] = r.layer
		}
	}
	return true
}

// replaces reports whether an object can take the place of another one, as [compilation.resume] says.
func (r *reading) replaces(old *reading) bool {
	switch {
	case r.reports > 0:
		return false
	case r.upstream != nil && old.upstream != nil:
		u, before := r.upstream, old.upstream
		return u.conflict.reports == 0 && u.Name == before.Name && slices.Equal(u.written, before.written) &&
			u.Port == before.Port && slices.Equal(u.routeNames(), before.routeNames())
	case r.layer != nil && old.layer != nil:
		l, before := r.layer, old.layer
		return l.named == before.named && l.from.ID == before.from.ID && slices.Equal(l.targets, before.targets)
	}
	return false
}
