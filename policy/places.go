package policy

import (
	"strings"

	"breakwater.dev/policy/internal/yamlwalk"
)

// place is where a value was written.
type place struct {
	yamlwalk.Value
	file string
	rank int // a more specific policy has a higher one
}

// places are where the values of a document, or of several laid over one another,
// were written, by the path of the long form.
type places map[string]place

// wrote tells whether a value was written.
func (ps places) wrote(path string) bool {
	_, ok := ps[path]
	return ok
}

// at returns where a value was written, or else where it would have been:
// the nearest object around it, saying that byDefault holds.
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

// newest returns the place of the most specific policy that wrote one of the paths,
// and of its paths the first.
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

// blame returns the place of path, if it was written by a policy that is no less
// specific than those that wrote the others: what it contradicts, it could know.
func (ps places) blame(path string, others ...string) (place, bool) {
	own, ok := ps[path]
	for _, other := range others {
		if p, written := ps[other]; written && p.rank > own.rank {
			return place{}, false
		}
	}
	return own, ok
}
