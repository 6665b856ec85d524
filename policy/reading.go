package policy

import "breakwater.dev/policy/internal/yamlwalk"

// reading is the content of one object's spec, judged by itself. It depends on the object and on the defaults.
type reading struct {
	findings
	upstream *upstreamDoc // nil: it is a policy, or neither
	layer    *layer       // nil: it is an upstream, or neither
	refs     []*targetRef // the targets of layer

	at        int      // the index in the upstreams, or in the layers, of the last compilation
	usedIn    uint64   // the last compilation that had the object
	appliedIn uint64   // the last compilation in which the set had something of the object
	last      *outcome // the upstream as it was compiled last; nil: it was not
}

// read reads the spec of an object. It reports all that is wrong with the object by itself.
func read(o *Object, base *settings) *reading {
	r := &reading{}
	switch {
	case o.short:
		r.service(o, base)
	case o.Kind == KindUpstream:
		r.readUpstream(o)
	case o.Kind == KindPolicy:
		r.policy(o, base)
	}
	return r
}

// visitor returns a visitor that reports the problems of an object.
func (r *reading) visitor(o *Object) yamlwalk.Visitor {
	return yamlwalk.Visitor{Report: func(p yamlwalk.Problem) { r.report(o, p) }}
}
