package peers

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Directory has the names of many breakers, and the order in which they are called.
type Directory struct {
	Names []string
	Order []string // its length is a power of two, so that [At] only needs a bit mask
}

// NewDirectory returns n names, and an order of at least length calls in which
// they take turns at random. The names in the order are copies, as in a real program:
// a caller has the name from its request in the CPU's cache, while the breaker's own copy
// is in other memory.
func NewDirectory(n, length int, random *rand.Rand) Directory {
	d := Directory{Names: make([]string, n)}
	for i := range d.Names {
		d.Names[i] = fmt.Sprintf("upstream-%d", i)
	}
	size := 1
	for size < length || size < n {
		size *= 2
	}
	d.Order = make([]string, 0, size)
	for len(d.Order) < size {
		for _, i := range random.Perm(n) {
			if len(d.Order) < size {
				d.Order = append(d.Order, strings.Clone(d.Names[i]))
			}
		}
	}
	return d
}

// At returns the name at index i of an order, which begins again after its end.
func At(order []string, i int) string { return order[i&(len(order)-1)] }

// byName makes a breaker for each name. It is for peers without their own table. They get the
// cheapest one: a map that is never written again and needs no lock.
func byName[B any](d Directory, create func() B) map[string]B {
	m := make(map[string]B, len(d.Names))
	for _, name := range d.Names {
		m[name] = create()
	}
	return m
}
