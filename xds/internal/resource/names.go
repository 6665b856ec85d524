package resource

import (
	"slices"
	"strings"
)

// Names is a set of names that a proxy asks for. It is immutable. Nil names are empty.
type Names struct {
	all   []string // sorted
	sum   sum
	bytes int
}

// All returns the names, sorted. The caller must not change them.
func (n *Names) All() []string {
	if n == nil {
		return nil
	}
	return n.all
}

// Len returns the number of names.
func (n *Names) Len() int { return len(n.All()) }

// Bytes returns the length of all names together.
func (n *Names) Bytes() int {
	if n == nil {
		return 0
	}
	return n.bytes
}

// Has reports whether a name is in the set.
func (n *Names) Has(name string) bool {
	_, found := slices.BinarySearch(n.All(), name)
	return found
}

func (n *Names) total() sum {
	if n == nil {
		return sum{}
	}
	return n.sum
}

// Change returns the names with some more and without others. A name that comes and goes is gone. The set keeps copies of the
// names.
func (n *Names) Change(pool *Pool, add, drop []string) *Names {
	// Many proxies ask for the same names, so their set is looked for before it is made. The sum of a request that says a
	// name twice is the sum of no set.
	total, changed := n.total(), false
	for _, name := range add {
		if !n.Has(name) {
			total, changed = total.plus(sumOf(name, "")), true
		}
	}
	for _, name := range drop {
		if n.Has(name) {
			total, changed = total.minus(sumOf(name, "")), true
		}
	}
	if !changed {
		return n
	}
	if known := pool.names.find(total); known != nil && !overlap(add, drop) {
		return known
	}
	next := newNames(n.All(), add, drop)
	return pool.names.get(next.sum, next.Len(), func() *Names { return next })
}

// overlap reports whether two lists have a name in common.
func overlap(add, drop []string) bool {
	if len(add) == 0 || len(drop) == 0 {
		return false
	}
	comes := make(map[string]bool, len(add))
	for _, name := range add {
		comes[name] = true
	}
	return slices.ContainsFunc(drop, func(name string) bool { return comes[name] })
}

func newNames(had, add, drop []string) *Names {
	n := &Names{all: slices.Concat(had, add)}
	for i := len(had); i < len(n.all); i++ {
		n.all[i] = strings.Clone(n.all[i])
	}
	slices.Sort(n.all)
	n.all = slices.Compact(n.all)
	if len(drop) > 0 {
		goes := make(map[string]bool, len(drop))
		for _, name := range drop {
			goes[name] = true
		}
		n.all = slices.DeleteFunc(n.all, func(name string) bool { return goes[name] })
	}
	n.all = slices.Clip(n.all)
	for _, name := range n.all {
		n.sum, n.bytes = n.sum.plus(sumOf(name, "")), n.bytes+len(name)
	}
	return n
}
