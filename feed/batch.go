package feed

import (
	"breakwater.dev/breaker"
	"breakwater.dev/outlier"
)

// batch collects the outcomes in one message, in memory that the next message uses again.
type batch struct {
	groups    []group
	byBreaker map[*breaker.Key]int
	endpoints []endpointOutcomes
}

// group collects the outcomes for one breaker.
type group struct {
	target   *target
	outcomes []breaker.Reported
	sparsest uint32 // the largest OneIn of a failure in outcomes; 0: there is none
	rejected uint64
}

// endpointOutcomes collects the outcomes at the endpoints of one upstream.
type endpointOutcomes struct {
	upstream string
	outcomes []outlier.Outcome
}

func (b *batch) reset() {
	clear(b.byBreaker)
	b.groups, b.endpoints = b.groups[:0], b.endpoints[:0]
}

// group returns the group of a target's breaker, which is valid until the next call.
func (b *batch) group(to *target) *group {
	i, known := b.byBreaker[to.breaker]
	if !known {
		i = len(b.groups)
		b.byBreaker[to.breaker] = i
		if i < cap(b.groups) {
			b.groups = b.groups[:i+1]
			g := &b.groups[i]
			*g = group{target: to, outcomes: g.outcomes[:0]}
		} else {
			b.groups = append(b.groups, group{target: to})
		}
	}
	return &b.groups[i]
}

func (b *batch) endpoint(upstream string, o outlier.Outcome) {
	for i := range b.endpoints {
		if b.endpoints[i].upstream == upstream {
			b.endpoints[i].outcomes = append(b.endpoints[i].outcomes, o)
			return
		}
	}
	b.endpoints = append(b.endpoints, endpointOutcomes{upstream, []outlier.Outcome{o}})
}
