package policy

// Result is the state of one object, and its problems.
type Result struct {
	Object *Object
	// InForce means that the set has what the object says, apart from what Diagnostics are about.
	// False: the object is refused, and the set has nothing of it.
	InForce bool
	// Diagnostics are the problems of the object, in order of place. There are none if everything that
	// the object says is in force, and at least one if the object is refused.
	Diagnostics Diagnostics
}

// Compile compiles objects one by one, as far as possible, and returns the set of all that can be in
// force together. There is one result for each object, in the order of objects. The order makes no other
// difference. Compile is pure: equal objects and defaults give equal results.
//
// These are the rules for objects that have problems:
//
//   - An object that is wrong by itself is refused. It takes nothing away from others: neither a name
//     nor a target.
//   - If two objects want the same name, host, port or target, the first one in order of
//     [Object.Precedence] has it. The other upstream is refused; the other policy is not in force for
//     that target.
//   - A policy that contradicts an upstream, or less specific policies of the upstream, is not in force
//     for that upstream. It stays in force for all others.
//   - A name that refers to an upstream or route that is missing, or refused, has no effect: as a target
//     nothing is there to be protected, and as a fallback rejected callers get the policy's response.
//     The same holds for a fallback upstream that cannot take the calls, or that leads back in a ring.
//     The rest of the policy is in force.
//   - A policy that is in force for none of its targets is refused. It keeps the targets that it has, so
//     that the next policy does not step in for some of the upstreams.
//
// A caller that keeps the last version without diagnostics of each object can put it in the place of one
// that has some, and compile again: upstreams first, since what is wrong with an upstream never depends
// on a policy. With defaults that are wrong, every object is refused.
func Compile(objects []*Object, d Defaults) (*Set, []Result) {
	results := make([]Result, len(objects))
	if problems := d.validate(); len(problems) > 0 {
		for i, o := range objects {
			results[i] = Result{Object: o, Diagnostics: problems}
		}
		return &Set{Revision: revision(nil)}, results
	}
	c := newMemory(d).compile(objects, true)
	set, problems := c.set(), c.byObject()
	for i, o := range objects {
		results[i] = Result{Object: o, InForce: c.isInForce(o), Diagnostics: problems[o]}
	}
	return set, results
}

// CompileAll compiles objects that are in force all together or not at all: it returns a set of all of
// them, or all diagnostics and no set. It is pure, and the order of objects makes no difference. A caller that
// compiles nearly the same objects again and again uses a [Compiler].
//
// It may report less than [Compile]: one mistake is reported once, and neither what depends on the
// object with the mistake, nor what may refer to something that could not be read.
func CompileAll(objects []*Object, d Defaults) (*Set, Diagnostics) {
	return NewCompiler(d).CompileAll(objects)
}

// Parse compiles files. It returns a set, or all diagnostics and no set, like [CompileAll].
func Parse(files []File, d Defaults) (*Set, Diagnostics) {
	return CompileAll(Objects(files), d)
}
