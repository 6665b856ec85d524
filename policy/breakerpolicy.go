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
func (c *compiler) policy(o *Object) {
	l := &layer{from: o, named: o.Name != "", root: o.spec, fields: (*settings).fields}
	before := c.reports
	c.checkAlone(l)
	spec := o.spec.With(yamlwalk.Visitor{Report: func(p yamlwalk.Problem) { c.report(o, p) }})
	var refs []targetRef
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
	l.broken = c.reports > before
	c.addLayer(l, refs)
}

// checkAlone reports what is wrong with a policy by itself, laid over nothing but the defaults.
func (c *compiler) checkAlone(l *layer) {
	s := newSettings(c.defaults)
	if !l.apply(s, func(p yamlwalk.Problem) { c.report(l.from, p) }) {
		return
	}
	for _, p := range s.config().Validate() {
		if at, ok := s.places["spec.breaker."+p.Field]; ok {
			c.fail(at, p.Want, p.Rule)
		}
	}
	for _, p := range s.outlier.Validate() {
		// A contradiction between fields is reported when all policies are laid over one another.
		if at, ok := s.places[outlierPath+"."+p.Field]; ok && p.Rule == "out-of-range" {
			c.fail(at, p.Want, p.Rule)
		}
	}
}

// appendTarget reads one target of a policy. It adds nothing if the target has a problem.
func appendTarget(refs []targetRef, o *Object, v yamlwalk.Value) []targetRef {
	ref := targetRef{at: o.place(v)}
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
func (c *compiler) addLayer(l *layer, refs []targetRef) {
	if c.drops(l.from) {
		c.refs = append(c.refs, refs...) // so that all of its problems are reported at once
		return
	}
	if name := (claim{"policy " + l.from.Namespace, l.from.Name}); l.named && !c.claim(c.named, name, l.nameAt(), "duplicate-name") && c.each {
		return
	}
	c.layers = append(c.layers, l)
	for _, ref := range refs {
		l.targets = append(l.targets, ref.target)
		if first, ok := c.byTarget[ref.target]; ok {
			c.failAs(ref.at, ref.target.String(), fmt.Sprintf("targeted by one policy; %s at %s targets it too",
				first.from.Name, first.from.at.Place()), "duplicate-target")
			l.broken = !c.each
			continue
		}
		c.byTarget[ref.target] = l
		c.refs = append(c.refs, ref)
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
func (c *compiler) resolveTargets() {
	if !c.complete && !c.each {
		return
	}
	routes := map[string][]string{}
	for _, u := range c.upstreams {
		routes[u.Name] = []string{}
		for _, r := range u.Routes {
			routes[u.Name] = append(routes[u.Name], r.Name)
		}
	}
	for _, ref := range c.refs {
		if ref.kind == kindMesh {
			continue
		}
		known, ok := routes[ref.upstream]
		switch {
		case !ok:
			c.fail(ref.nameAt, c.wantUpstream(ref.upstream), "unknown-target")
		case ref.route != "" && !slices.Contains(known, ref.route):
			c.fail(ref.sectionAt, yamlwalk.Suggest("the name of a route of upstream "+ref.upstream, ref.route, known), "unknown-target")
		}
	}
}

// wantUpstream says what a name must be that no upstream in force has.
func (c *compiler) wantUpstream(name string) string {
	var names []string
	for _, o := range c.objects {
		if o.Kind == KindUpstream && o.Name == name {
			return fmt.Sprintf("the name of an Upstream in force; the one at %s is refused", o.at.Place())
		}
	}
	for _, u := range c.upstreams {
		names = append(names, u.Name)
	}
	return yamlwalk.Suggest("the name of an Upstream", name, names)
}
