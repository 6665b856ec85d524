package resource

import (
	"runtime"
	"slices"
	"strings"
	"weak"

	"breakwater.dev/internal/lockorder"
)

// Pool shares equal lists and equal names: a caller that makes one which another caller has gets the same one. The pool keeps
// nothing alive by itself. The zero value is ready. A nil pool shares nothing.
type Pool struct {
	lists shared[List]
	names shared[Names]
}

// List returns a list of resources. It sorts them in place, and keeps the last one of those with the same name.
func (p *Pool) List(all []*Resource) *List {
	byName := func(a, b *Resource) int { return strings.Compare(a.Name, b.Name) }
	if !slices.IsSortedFunc(all, byName) {
		slices.SortStableFunc(all, byName)
	}
	var total sum
	unique := all[:0]
	for i, r := range all {
		if i+1 < len(all) && all[i+1].Name == r.Name {
			continue
		}
		unique, total = append(unique, r), total.plus(r.sum)
	}
	return p.get(total, len(unique), func() []*Resource { return slices.Clip(unique) })
}

// Version is a resource that a proxy says it has.
type Version struct{ Name, Version string }

// Claimed returns the list of the resources that a proxy says it has. The last one of those with the same name counts. The pool
// keeps copies of the strings.
func (p *Pool) Claimed(versions []Version) *List {
	// Many proxies have the same resources, so their list is looked for before it is made. The sum of versions in which a
	// name comes twice is the sum of no list.
	var total sum
	for _, v := range versions {
		total = total.plus(sumOf(v.Name, v.Version))
	}
	if p != nil {
		if known := p.lists.find(total); known != nil {
			return known
		}
	}
	all := make([]*Resource, len(versions))
	for i, v := range versions {
		all[i] = Claimed(strings.Clone(v.Name), strings.Clone(v.Version))
	}
	return p.List(all)
}

// get returns the list of n resources with a sum, which it makes if there is none.
func (p *Pool) get(total sum, n int, all func() []*Resource) *List {
	if n == 0 {
		return nil
	}
	create := func() *List { return newList(p, all(), total) }
	if p == nil {
		return create()
	}
	return p.lists.get(total, n, create)
}

// shared has the values that others hold, by their sums. The zero value has none.
type shared[T any] struct {
	mu  lockorder.Mutex[lockorder.SharedResources]
	all map[sum]weak.Pointer[T] // guarded by mu
}

// get returns the value with a sum and n elements. It makes the value if there is none, and shares it if it is not short.
func (s *shared[T]) get(total sum, n int, create func() *T) *T {
	if n <= Few {
		return create()
	}
	if v := s.find(total); v != nil {
		return v
	}
	made := create()
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.all[total].Value(); v != nil {
		return v // another goroutine was first
	}
	if s.all == nil {
		s.all = map[sum]weak.Pointer[T]{}
	}
	s.all[total] = weak.Make(made)
	runtime.AddCleanup(made, s.drop, total)
	return made
}

func (s *shared[T]) find(total sum) *T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[total].Value()
}

// drop forgets a value that has no holder.
func (s *shared[T]) drop(total sum) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[total].Value() == nil { // else it was made again
		delete(s.all, total)
	}
}
