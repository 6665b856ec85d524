package policy

import (
	"fmt"
	"slices"

	"breakwater.dev/policy/internal/yamlwalk"
)

// target is the mesh, an upstream, or a route of an upstream that a policy is for.
type target struct {
	kind, upstream, route string
}

// targetRef is a target and where it is written.
type targetRef struct {
	target
	at, nameAt, sectionAt place
}

// policy reads the spec of a BreakerPolicy.
func (r *reading) policy(o *Object, base *settings) {
	l := &layer{from: o, reading: r, named: o.Name != "", root: o.spec, fields: (*settings).fields}
	r.checkAlone(l, base)
	spec := o.spec.With(r.visitor(o))
	var refs []*targetRef
	if v, ok := spec.Get("targetRefs"); ok {
		if v.Each(func(v yamlwalk.Value) { refs = appendTarget(refs, o, v) }) == 0 {
			v.FailAs("an empty list", "at least one target", "missing-field")
		}
	} else if spec.IsObject() {
		spec.Missing("targetRefs", "nothing").Fail("at least one target", "missing-field")
	}
	for _, ref := range refs {
		if ref.route == "" {
			continue
		}
		for _, field := range []string{"connectionLimits", "outlierDetection"} {
			if v, ok := spec.Get(field); ok {
				v.Fail("in a policy without sectionName: it is for all routes of an upstream", "not-per-route")
			}
		}
		break
	}
	r.finish(l, refs)
}

// finish completes a policy, of which everything was read.
func (r *reading) finish(l *layer, refs []*targetRef) {
	l.broken, l.nameAt = r.reports > 0, l.from.place(l.from.nameAt)
	for _, ref := range refs {
		l.targets = append(l.targets, ref.target)
	}
	r.layer, r.refs = l, refs
}

// checkAlone reports what is wrong with a policy by itself, laid over nothing but the defaults.
func (r *reading) checkAlone(l *layer, base *settings) {
	s := base.clone()
	if !l.apply(s, r.visitor(l.from).Report) {
		return
	}
	for _, p := range s.config().Validate() {
		if at, ok := s.places["spec.breaker."+p.Field]; ok {
			r.fail(at, p.Want, p.Rule)
		}
	}
	for _, p := range s.outlier.Validate() {
		// A contradiction between fields is reported when all policies are laid over one another.
		if at, ok := s.places[outlierPath+"."+p.Field]; ok && p.Rule == "out-of-range" {
			r.fail(at, p.Want, p.Rule)
		}
	}
}

// appendTarget reads one target of a policy. It adds nothing if the target has a problem.
func appendTarget(refs []*targetRef, o *Object, v yamlwalk.Value) []*targetRef {
	ref := &targetRef{at: o.place(v)}
	ok := v.Object(yamlwalk.Fields{
		"kind": yamlwalk.OneOf(&ref.kind, kindMesh, KindUpstream),
		"name": func(v yamlwalk.Value) {
			ref.nameAt = o.place(v)
			name(&ref.upstream)(v)
		},
		"sectionName": func(v yamlwalk.Value) {
			ref.sectionAt = o.place(v)
			name(&ref.route)(v)
		},
	})
	if !ok || !required(v, "kind") {
		return refs
	}
	switch {
	case ref.kind == kindMesh && (v.Has("name") || v.Has("sectionName")):
		v.FailAs("kind Mesh with a name", "kind Mesh alone: there is one mesh", "exclusive-fields")
		return refs
	case ref.kind == KindUpstream && !required(v, "name"):
		return refs
	case ref.kind == "", ref.kind == KindUpstream && ref.upstream == "", v.Has("sectionName") && ref.route == "":
		return refs // the field has reported it
	}
	return append(refs, ref)
}

// addLayer records a policy for its targets. The first of several policies for one target has it.
func (c *compilation) addLayer(r *reading) {
	l := r.layer
	if c.drops(l.from) {
		c.refs = append(c.refs, r.refs...) // so that all of its problems are reported at once
		return
	}
	if name := (claim{"policy " + l.from.Namespace, l.from.Name}); l.named && !c.claim(c.claims, name, &l.nameAt, "duplicate-name") && c.each {
		return
	}
	r.at = len(c.layers)
	c.layers = append(c.layers, l)
	twice := false
	for _, ref := range r.refs {
		if first, ok := c.byTarget[ref.target]; ok {
			c.failAs(ref.at, ref.target.String(), fmt.Sprintf("targeted by one policy; %s at %s targets it too",
				first.from.Name, first.from.at.Place()), "duplicate-target")
			twice = true
			continue
		}
		c.byTarget[ref.target] = l
		c.refs = append(c.refs, ref)
	}
	if twice && !c.each {
		c.breakLayer(l)
	}
}

// breakLayer marks a policy as broken for this compilation only. Its problem is not its own.
func (c *compilation) breakLayer(l *layer) {
	broken := *l
	broken.broken = true
	for _, t := range l.targets {
		if c.byTarget[t] == l {
			c.byTarget[t] = &broken
		}
	}
}

func (t target) String() string {
	switch {
	case t.kind == kindMesh:
		return "the mesh"
	case t.route != "":
		return fmt.Sprintf("route %s of upstream %s", t.route, t.upstream)
	}
	return "upstream " + t.upstream
}

// resolveTargets reports the targets that do not exist. Where something could not be read, and all
// objects are in force or none, the targets may exist there.
func (c *compilation) resolveTargets() {
	if !c.complete && !c.each {
		return
	}
	upstreams := c.memory.byName
	defer clear(upstreams)
	for _, r := range c.upstreams {
		upstreams[r.upstream.Name] = r.upstream
	}
	for _, ref := range c.refs {
		if ref.kind == kindMesh {
			continue
		}
		u := upstreams[ref.upstream]
		switch {
		case u == nil:
			c.fail(ref.nameAt, c.wantUpstream(ref.upstream), "unknown-target")
		case ref.route != "" && !u.hasRoute(ref.route):
			c.fail(ref.sectionAt, yamlwalk.Suggest("the name of a route of upstream "+ref.upstream, ref.route, u.routeNames()), "unknown-target")
		}
	}
}

func (u *upstreamDoc) hasRoute(name string) bool {
	return slices.ContainsFunc(u.Routes, func(r Route) bool { return r.Name == name })
}

func (u *upstreamDoc) routeNames() (names []string) {
	for _, r := range u.Routes {
		names = append(names, r.Name)
	}
	return names
}

// wantUpstream says what a name must be that no upstream in force has.
func (c *compilation) wantUpstream(name string) string {
	var names []string
	for _, o := range c.objects {
		if o.Kind == KindUpstream && o.Name == name {
			return fmt.Sprintf("the name of an Upstream in force; the one at %s is refused", o.at.Place())
		}
	}
	for _, r := range c.upstreams {
		names = append(names, r.upstream.Name)
	}
	return yamlwalk.Suggest("the name of an Upstream", name, names)
}
