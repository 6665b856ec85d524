package resource

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// List is resources of one type, sorted by name, each name once. It is immutable. A nil list is empty.
type List struct {
	all     []*Resource
	pool    *Pool // nil: equal lists are not shared
	sum     sum
	claimed int // how many of the resources are only claimed
	said    int // the bytes of the names and versions of these
	names   int // the bytes of all names
	memo    memo
}

// Few is the number of resources up to which a list is so short that nothing is remembered about it: the memory would be
// more than the work.
const Few = 32

// newList returns a list of resources, which are sorted.
func newList(pool *Pool, all []*Resource, sum sum) *List {
	l := &List{all: all, pool: pool, sum: sum}
	for _, r := range all {
		l.names += len(r.Name)
		if r.IsClaimed() {
			l.claimed++
			l.said += len(r.Name) + len(r.Version)
		}
	}
	return l
}

// All returns the resources, which the caller must not change.
func (l *List) All() []*Resource {
	if l == nil {
		return nil
	}
	return l.all
}

// Len returns the number of resources.
func (l *List) Len() int { return len(l.All()) }

// Claimed returns how many of the resources are only claimed, and the bytes of their names and versions.
func (l *List) Claimed() (n, bytes int) {
	if l == nil {
		return 0, 0
	}
	return l.claimed, l.said
}

// NameBytes returns the length of all names together.
func (l *List) NameBytes() int {
	if l == nil {
		return 0
	}
	return l.names
}

// Find returns the resource of a name; nil: there is none.
func (l *List) Find(name string) *Resource {
	if at, found := l.place(name); found {
		return l.all[at]
	}
	return nil
}

func (l *List) place(name string) (at int, found bool) {
	return slices.BinarySearchFunc(l.All(), name, func(r *Resource, name string) int { return strings.Compare(r.Name, name) })
}

// Same reports whether both lists have the same resources in the same versions.
func (l *List) Same(other *List) bool {
	return l == other || l.Len() == other.Len() && l.total() == other.total()
}

func (l *List) total() sum {
	if l == nil {
		return sum{}
	}
	return l.sum
}

// With returns a list in which the given resources, which are sorted, take the places of those with their names, and from
// which the resources of gone are missing. Names in gone that the list does not have make no difference, and none of them is
// given. The pool is for a receiver that is nil.
func (l *List) With(pool *Pool, given []*Resource, gone []string) *List {
	total, n := l.total(), l.Len()
	for _, r := range given {
		total = total.plus(r.sum)
		if had := l.Find(r.Name); had != nil {
			total = total.minus(had.sum)
		} else {
			n++
		}
	}
	for _, name := range gone {
		if had := l.Find(name); had != nil {
			total, n = total.minus(had.sum), n-1
		}
	}
	if l != nil && total == l.sum && n == len(l.all) {
		return l
	}
	return pool.get(total, n, func() []*Resource { return l.merge(given, gone, n) })
}

// merge returns the n resources of the list that [List.With] makes.
func (l *List) merge(given []*Resource, gone []string, n int) []*Resource {
	all := make([]*Resource, 0, n)
	left := map[string]bool{}
	for _, name := range gone {
		left[name] = true
	}
	rest := given
	for _, had := range l.All() {
		for len(rest) > 0 && rest[0].Name < had.Name {
			all, rest = append(all, rest[0]), rest[1:]
		}
		if len(rest) > 0 && rest[0].Name == had.Name {
			all, rest = append(all, rest[0]), rest[1:]
		} else if !left[had.Name] {
			all = append(all, had)
		}
	}
	return append(all, rest...)
}

// Change has the differences of a list from the one that a proxy has.
type Change struct {
	Changed []*Resource // new ones and new versions, sorted by name
	Updated []string    // the names of those among them that the proxy has in another version, sorted
	Gone    []*Resource // resources that only the proxy still has, sorted by name
}

// Since returns what a proxy lacks that has other resources. The caller must not change it.
func (l *List) Since(had *List) *Change {
	switch {
	case l.Same(had):
		return &Change{}
	case l.Len() <= Few && had.Len() <= Few || l == nil:
		return l.since(had)
	}
	type key struct{ since sum }
	return Remember(l, key{had.total()}, func() *Change { return l.since(had) })
}

func (l *List) since(had *List) *Change {
	c, rest := &Change{}, had.All()
	for _, r := range l.All() {
		for len(rest) > 0 && rest[0].Name < r.Name {
			c.Gone, rest = append(c.Gone, rest[0]), rest[1:]
		}
		if len(rest) > 0 && (rest[0] == r || rest[0].Name == r.Name) {
			if rest[0] != r && rest[0].Version != r.Version {
				c.Changed, c.Updated = append(c.Changed, r), append(c.Updated, r.Name)
			}
			rest = rest[1:]
			continue
		}
		c.Changed = append(c.Changed, r)
	}
	c.Gone = append(c.Gone, rest...)
	return c
}

// Batch is a part of a [Change] that is sent in one response.
type Batch struct {
	Changed []*Resource
	Updated []string
	After   *List // the resources that the proxy has with it
}

// Batch returns the first resources that a proxy lacks which has other resources: as many as have at most a number of bytes
// together, and at least one. The proxy lacks some. It keeps resources that no longer exist.
func (l *List) Batch(had *List, bytes int) *Batch {
	make := func() *Batch {
		c, n := l.Since(had), 0
		for left := bytes; n < len(c.Changed) && (n == 0 || left >= len(c.Changed[n].wire)); n++ {
			left -= len(c.Changed[n].wire)
		}
		b := &Batch{Changed: c.Changed[:n:n]}
		at, _ := slices.BinarySearch(c.Updated, b.Changed[n-1].Name+"\x00")
		b.Updated = c.Updated[:at:at]
		b.After = had.With(l.pool, b.Changed, nil)
		if b.After.Same(l) {
			b.After = l
		}
		return b
	}
	if l.Len() <= Few && had.Len() <= Few {
		return make()
	}
	type key struct {
		batch sum
		bytes int
	}
	return Remember(l, key{had.total(), bytes}, make)
}

// Named returns the resources that are called by a name of names.
func (l *List) Named(names *Names) *List {
	if l.Len() == 0 || l.Len() <= Few {
		return l.named(names)
	}
	type key struct{ named sum }
	return Remember(l, key{names.total()}, func() *List { return l.named(names) })
}

func (l *List) named(names *Names) *List {
	var all []*Resource
	var total sum
	rest := names.All()
	for _, r := range l.All() {
		for len(rest) > 0 && rest[0] < r.Name {
			rest = rest[1:]
		}
		if len(rest) > 0 && rest[0] == r.Name {
			all, total = append(all, r), total.plus(r.sum)
		}
	}
	if len(all) == l.Len() {
		return l
	}
	return l.pool.get(total, len(all), func() []*Resource { return all })
}

// Missing returns the names by which no resource is called, sorted. The caller must not change them.
func (l *List) Missing(names *Names) []string {
	make := func() []string {
		var missing []string
		rest := l.All()
		for _, name := range names.All() {
			for len(rest) > 0 && rest[0].Name < name {
				rest = rest[1:]
			}
			if len(rest) == 0 || rest[0].Name != name {
				missing = append(missing, name)
			}
		}
		return missing
	}
	if l == nil {
		return names.All()
	}
	if names.Len() <= Few {
		return make()
	}
	type key struct{ missing sum }
	return Remember(l, key{names.total()}, make)
}

// Version returns a hash of the names and versions, which is equal for equal lists in every process.
func (l *List) Version() string {
	make := func() string {
		h := sha256.New()
		for _, r := range l.All() {
			h.Write([]byte(r.Name + "\x00" + r.Version + "\x00"))
		}
		return hex.EncodeToString(h.Sum(nil)[:8])
	}
	if l.Len() <= Few {
		return make()
	}
	type key struct{}
	return Remember(l, key{}, make)
}
