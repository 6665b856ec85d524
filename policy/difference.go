package policy

import "strings"

// Difference has the upstreams that two sets do not share, by their pointers. A [Compiler] leaves an upstream where it is
// while nothing of it changes, so the difference of its sets is as large as the change.
type Difference struct {
	Gone []*Upstream // only the set before has them, sorted by name: they were removed, or others have their names
	New  []*Upstream // only the set itself has them, sorted by name
}

// Since returns the difference of s and the set before it; nil: there was none. It costs a comparison of pointers for
// each upstream.
func (s *Set) Since(before *Set) Difference {
	var d Difference
	var old []*Upstream
	if before != nil {
		old = before.Upstreams
	}
	next := s.Upstreams
	for len(old) > 0 && len(next) > 0 {
		order := 0
		if old[0] != next[0] {
			if order = strings.Compare(old[0].Name, next[0].Name); order <= 0 {
				d.Gone = append(d.Gone, old[0])
			}
			if order >= 0 {
				d.New = append(d.New, next[0])
			}
		}
		if order <= 0 {
			old = old[1:]
		}
		if order >= 0 {
			next = next[1:]
		}
	}
	return Difference{Gone: append(d.Gone, old...), New: append(d.New, next...)}
}
