package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// compilation is one pass over all objects, which compares them with one another. Objects that were read before, and
// upstreams that were compiled before from the same objects, come from memory.
type compilation struct {
	memory  *memory
	objects []*Object // in order of precedence
	// each means that every object counts by itself, as [Compile] needs it: an object with a problem is
	// left out. Otherwise all objects stay, so that all problems are found.
	each bool
	findings

	// complete is false when something could not be read that others may refer to.
	complete  bool
	upstreams []*reading
	layers    []*layer
	claims    claims
	byTarget  map[target]*layer
	refs      []*targetRef // all targets, each once
	meshLayer *layer       // the policy for the mesh; nil: there is none
	mesh      *settings    // the policy for the mesh over the defaults
	outcomes  []*outcome   // for each upstream that is not broken
}

// compile makes all that a set needs.
func (m *memory) compile(objects []*Object, each bool) *compilation {
	m.run++
	c := &compilation{
		memory: m, objects: byPrecedence(objects), each: each, complete: true,
		claims: m.claims, byTarget: m.byTarget,
	}
	if !c.resume() {
		c.compare()
	}
	c.mesh, c.meshLayer = m.base, c.byTarget[target{kind: kindMesh}]
	if c.meshLayer != nil {
		c.mesh = c.meshLayer.over(m.base)
	}
	for _, r := range c.upstreams {
		if r.upstream.broken {
			continue // skip its routes and breakers too, so that one mistake gives one diagnostic
		}
		out := c.outcome(r)
		c.take(&out.findings)
		r.appliedIn = m.run
		for _, l := range out.applied {
			l.reading.appliedIn = m.run
		}
		c.outcomes = append(c.outcomes, out)
	}
	c.resolveFallbacks()
	if m.last = nil; !each && len(c.counts) == 0 {
		m.last = &accepted{slices.Clone(c.objects), c.upstreams, c.layers}
	}
	return c
}

// compare reads all objects, and compares them with one another.
func (c *compilation) compare() {
	clear(c.byTarget)
	for _, o := range c.objects {
		c.read(o)
	}
	c.memory.forget(len(c.objects))
	c.checkUpstreams()
	c.resolveTargets()
	c.claims.clear()
}

// read takes what an object says. An object with a problem is not kept where each object counts by itself.
func (c *compilation) read(o *Object) {
	for _, p := range o.problems {
		c.report(o, p)
	}
	if o.more {
		c.count(o, 1)
	}
	c.complete = c.complete && !o.partial
	if !o.hasSpec {
		return
	}
	r := c.memory.reading(o)
	c.take(&r.findings)
	switch {
	case r.layer != nil:
		c.addLayer(r)
	case r.upstream != nil && !c.drops(o):
		r.at = len(c.upstreams)
		c.upstreams = append(c.upstreams, r)
	}
}

// drops reports whether an object that was just read is left out.
func (c *compilation) drops(o *Object) bool { return c.each && c.counts[o] > 0 }

// isInForce reports whether the set has anything of an object. A policy for the mesh without problems is
// in force where there is no upstream, too.
func (c *compilation) isInForce(o *Object) bool {
	r := c.memory.readings[o]
	return r != nil && r.appliedIn == c.memory.run || c.counts[o] == 0
}

// outcome compiles an upstream, or returns what it was compiled to before from the same.
func (c *compilation) outcome(r *reading) *outcome {
	u := r.upstream
	layers := 2 + len(u.Routes)
	if out := r.last; out != nil {
		same := true
		for i := 0; same && i < layers; i++ {
			same = out.layers[i] == c.layer(u, i)
		}
		if same {
			return out
		}
	}
	out := &outcome{layers: make([]*layer, layers)}
	for i := range out.layers {
		out.layers[i] = c.layer(u, i)
	}
	m := merger{outcome: out, each: c.each, base: c.memory.base, mesh: c.mesh}
	m.compile(u)
	r.last = out
	return out
}

// layer returns the policy for the mesh, for an upstream, or for its route i-2; nil: there is none.
func (c *compilation) layer(u *upstreamDoc, i int) *layer {
	switch i {
	case 0:
		return c.meshLayer
	case 1:
		return c.byTarget[target{kind: KindUpstream, upstream: u.Name}]
	default:
		return c.byTarget[target{kind: KindUpstream, upstream: u.Name, route: u.Routes[i-2].Name}]
	}
}

// set returns the set. It is the one before where nothing differs, and has the upstreams of the one before
// that do not differ. It is of use if nothing was reported, or if each object counts by itself.
func (c *compilation) set() *Set {
	before := c.memory.set
	slices.Sort(c.notes)
	set := &Set{Upstreams: make([]*Upstream, len(c.outcomes)), notes: slices.Compact(c.notes)}
	for i, out := range c.outcomes {
		set.Upstreams[i] = out.settle(before)
	}
	slices.SortFunc(set.Upstreams, func(a, b *Upstream) int { return strings.Compare(a.Name, b.Name) })
	for _, l := range c.layers {
		if l.reading.appliedIn == c.memory.run || c.counts[l.from] == 0 {
			set.Policies = append(set.Policies, l.from.at)
		}
	}
	slices.SortFunc(set.Policies, func(a, b Origin) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	if slices.Equal(set.Upstreams, before.Upstreams) && slices.Equal(set.Policies, before.Policies) &&
		slices.Equal(set.notes, before.notes) && before.specs != nil {
		return before
	}
	set.Revision, set.specs = revision(set.Upstreams), specs(set)
	c.memory.set = set
	return set
}

// revision returns a hash of what upstreams mean. Where they were written does not count.
func revision(upstreams []*Upstream) string {
	hash := sha256.New()
	for _, u := range upstreams {
		sum := u.Fingerprint()
		hash.Write(sum[:])
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}
