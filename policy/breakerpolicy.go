package policy

import (
	"fmt"
	"slices"

	"breakwater.dev/policy/internal/yamlwalk"
)

// target is what a policy is for: the mesh, an upstream, or a route of one.
type target struct {
	kind, upstream, route string
}

// targetRef is a target with its place.
type targetRef struct {
	target
	at, nameAt, sectionAt place
}

func (c *compiler) policy(o *object, doc yamlwalk.Value) {
	l := &layer{
		origin: o.origin(doc), named: o.name != "", nameAt: o.newPlace(o.nameAt), root: o.spec,
		fields: (*settings).fields,
	}
	before := len(c.diagnostics)
	c.read(l)
	report := func(p yamlwalk.Problem) { c.diagnostics.report(o.file, p) }
	spec := o.spec.With(yamlwalk.Visitor{Report: report})
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
	l.broken = len(c.diagnostics) > before
	c.addLayer(l, refs)
}

// read checks a policy by itself, laid over nothing but the defaults.
func (c *compiler) read(l *layer) {
	s := newSettings(c.defaults)
	if !l.apply(s, func(p yamlwalk.Problem) { c.diagnostics.report(l.origin.File, p) }) {
		return
	}
	for _, p := range s.config().Validate() {
		if at, ok := s.places["spec.breaker."+p.Field]; ok {
			c.fail(at, p.Want, p.Rule)
		}
	}
	for _, p := range s.outlier.Validate() {
		// What contradicts another field is judged when all policies are laid over one another.
		if at, ok := s.places[outlierPath+"."+p.Field]; ok && p.Rule == "out-of-range" {
			c.fail(at, p.Want, p.Rule)
		}
	}
}

func appendTarget(refs []targetRef, o *object, v yamlwalk.Value) []targetRef {
	ref := targetRef{at: o.newPlace(v)}
	ok := v.Object(yamlwalk.Fields{
		"kind": yamlwalk.OneOf(&ref.kind, kindMesh, kindUpstream),
		"name": func(v yamlwalk.Value) {
			ref.nameAt = o.newPlace(v)
			name(&ref.upstream)(v)
		},
		"sectionName": func(v yamlwalk.Value) {
			ref.sectionAt = o.newPlace(v)
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
	case ref.kind == kindUpstream && !required(v, "name"):
		return refs
	case ref.kind == "", ref.kind == kindUpstream && ref.upstream == "", v.Has("sectionName") && ref.route == "":
		return refs // reported by its field
	}
	return append(refs, ref)
}

// addLayer takes a policy for its targets; of several for one target the first.
func (c *compiler) addLayer(l *layer, refs []targetRef) {
	c.layers = append(c.layers, l)
	for _, ref := range refs {
		l.targets = append(l.targets, ref.target)
		if first, ok := c.byTarget[ref.target]; ok {
			c.failAs(ref.at, ref.target.String(), fmt.Sprintf("targeted by one policy; %s at %s:%d targets it too",
				first.origin.Name, first.origin.File, first.origin.Line), "duplicate-target")
			l.broken = true
			continue
		}
		if c.byTarget == nil {
			c.byTarget = map[target]*layer{}
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

// resolveTargets reports the targets that do not exist. Where something could not be
// read, they may exist there.
func (c *compiler) resolveTargets() {
	if !c.complete {
		return
	}
	routes := map[string][]string{}
	var upstreams []string
	for _, u := range c.upstreams {
		upstreams = append(upstreams, u.Name)
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
			c.fail(ref.nameAt, yamlwalk.Suggest("the name of an Upstream", ref.upstream, upstreams), "unknown-target")
		case ref.route != "" && !slices.Contains(known, ref.route):
			c.fail(ref.sectionAt, yamlwalk.Suggest("the name of a route of upstream "+ref.upstream, ref.route, known), "unknown-target")
		}
	}
}
