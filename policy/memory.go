package policy

import "maps"

// Compiler compiles the objects of a source again and again, at the cost of the changes. It remembers the content of
// each object, by its pointer, and each compiled upstream. So a source must hand over the same pointer as before for
// an object that has not changed. A Compiler is for one goroutine at a time.
//
// Between two calls a source may change [Object.Precedence], and nothing else of an object.
type Compiler struct{ memory memory }

// NewCompiler returns a compiler that remembers nothing yet. The defaults are the same for all calls.
func NewCompiler(d Defaults) *Compiler { return &Compiler{memory: *newMemory(d)} }

// CompileAll returns what the function [CompileAll] returns, with equal content. Beyond that, an upstream that is
// equal to the one in the last set, its origins included, is that very upstream: the pointer is the same, and so
// are the pointers of its breakers. If all of a set is equal, it is the last set itself. A call that
// returns diagnostics changes nothing about which set is the last.
func (c *Compiler) CompileAll(objects []*Object) (*Set, Diagnostics) {
	run := c.memory.compile(objects, false)
	if problems := run.diagnostics(c.memory.defaults.validate()); len(problems) > 0 {
		return nil, problems
	}
	return run.set(), nil
}

// memory is kept from one compilation to the next.
type memory struct {
	defaults Defaults
	base     *settings // the defaults
	readings map[*Object]*reading
	set      *Set      // the last one; an empty one before the first
	run      uint64    // the number of the compilation
	last     *accepted // the last compilation; nil: it had a problem, or there is none

	byTarget map[target]*layer // the policies of the last compilation
	// These are tables of one compilation, which clears them. They are kept for their room.
	claims claims
	byName map[string]*upstreamDoc
}

func newMemory(d Defaults) *memory {
	return &memory{
		defaults: d, base: newSettings(d), readings: map[*Object]*reading{}, set: &Set{},
		claims: claims{}, byTarget: map[target]*layer{}, byName: map[string]*upstreamDoc{},
	}
}

// reading returns the content of an object.
func (m *memory) reading(o *Object) *reading {
	r := m.readings[o]
	if r == nil {
		r = read(o, m.base)
		m.readings[o] = r
	}
	r.usedIn = m.run
	return r
}

// forget drops the readings of objects that this compilation does not have. objects is how many it has.
func (m *memory) forget(objects int) {
	if len(m.readings) > objects {
		maps.DeleteFunc(m.readings, func(_ *Object, r *reading) bool { return r.usedIn != m.run })
	}
}
