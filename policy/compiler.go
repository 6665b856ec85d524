package policy

import "breakwater.dev/policy/internal/yamlwalk"

// compiler collects what was read, and the diagnostics, while a set is made of objects.
type compiler struct {
	objects  []*Object // in order of precedence
	defaults Defaults
	// each means that every object counts by itself, as [Compile] needs it: an object with a problem is
	// left out. Otherwise all objects stay, so that all problems are found.
	each bool
	ledger
	reports int // how many problems were reported
	// trial, while a policy is only tried out, takes the problems in place of the ledger.
	trial *[]Diagnostic

	// complete is false when something could not be read that others may refer to.
	complete  bool
	upstreams []*upstreamDoc
	layers    []*layer
	named     claims // the names of policies
	byTarget  map[target]*layer
	refs      []targetRef // all targets, each once
	fallbacks []fallbackRef
	notes     []string
	applied   map[*Object]bool // the objects that the set has something of

	base, mesh *settings // the defaults, and the policy for the mesh over them
}

func newCompiler(objects []*Object, d Defaults) *compiler {
	return &compiler{
		objects: byPrecedence(objects), defaults: d, complete: true, ledger: newLedger(),
		named: claims{}, byTarget: map[target]*layer{}, applied: map[*Object]bool{},
	}
}

// fail reports a value at its place.
func (c *compiler) fail(p place, want, rule string) {
	c.failAs(p, p.Got(), want, rule)
}

// failAs reports a value, and got in place of what is written there.
func (c *compiler) failAs(p place, got, want, rule string) {
	c.report(p.from, p.Problem(got, want, rule))
}

// report adds a problem of an object.
func (c *compiler) report(o *Object, p yamlwalk.Problem) {
	c.reports++
	d := o.diagnostic(p)
	switch {
	case c.trial == nil:
		c.add(o, d)
	case len(*c.trial) < leastDiagnostics:
		*c.trial = append(*c.trial, d)
	}
}

// read reads what an object says. It reports all that is wrong with the object by itself. An object with
// a problem is not kept where each object counts by itself.
func (c *compiler) read(o *Object) {
	for _, p := range o.problems {
		c.report(o, p)
	}
	if o.more {
		c.counts[o]++
	}
	c.complete = c.complete && !o.partial
	if !o.hasSpec {
		return
	}
	switch {
	case o.short:
		c.service(o)
	case o.Kind == KindUpstream:
		c.upstream(o)
	case o.Kind == KindPolicy:
		c.policy(o)
	}
}

// drops reports whether an object that was just read is left out.
func (c *compiler) drops(o *Object) bool { return c.each && c.counts[o] > 0 }
