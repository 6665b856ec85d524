package policy

import (
	"strings"

	"breakwater.dev/policy/internal/yamlwalk"
)

// place is a value and where it was written.
type place struct {
	yamlwalk.Value
	from *Object // that has the value
	rank int     // higher for a more specific policy; 0 outside policies
}

// String returns "file:line", or the id of the object if it is not from a file.
func (p place) String() string {
	at := Origin{File: p.from.at.File, Line: p.Line()}
	if p.from.lineless {
		at.Line = 0
	}
	return at.Place()
}

// places are the values that were written in an object, or in several policies laid over one another, by
// their paths in the long form.
type places map[string]place

// wrote reports whether a value was written.
func (ps places) wrote(path string) bool {
	_, ok := ps[path]
	return ok
}

// at returns the place of a value. For a value that was not written it returns the nearest object around
// it, and byDefault as what is there.
func (ps places) at(path, byDefault string) place {
	if p, ok := ps[path]; ok {
		return p
	}
	for around := path; around != ""; {
		i := strings.LastIndexByte(around, '.')
		if i < 0 {
			break
		}
		around = around[:i]
		if p, ok := ps[around]; ok {
			p.Value = p.Missing(path[len(around)+1:], byDefault+" by default")
			return p
		}
	}
	return place{}
}

// newest returns the first of the paths that the most specific policy wrote. If no policy wrote any, it
// returns the first path.
func (ps places) newest(paths ...string) place {
	best := place{rank: -1}
	for _, path := range paths {
		if p, ok := ps[path]; ok && p.rank > best.rank {
			best = p
		}
	}
	if best.rank < 0 {
		return ps.at(paths[0], "the value")
	}
	return best
}

// blame returns the place of path, if the policy that wrote it is at least as specific as those that wrote
// the others. Then the author of path could know the values that it contradicts.
func (ps places) blame(path string, others ...string) (place, bool) {
	own, ok := ps[path]
	for _, other := range others {
		if p, written := ps[other]; written && p.rank > own.rank {
			return place{}, false
		}
	}
	return own, ok
}
