package discovery

import (
	"sync"
	"time"
)

// maxRollouts bounds how many are remembered that some proxy has yet to take: one may
// never answer.
const maxRollouts = 1024

// rollouts measure how long it takes until every proxy obeys.
type rollouts struct {
	now  func() time.Time
	done func(time.Duration)

	mu      sync.Mutex
	open    []rollout // by number
	refused uint64
}

// rollout is one change of the gates on its way.
type rollout struct {
	number  uint64 // of its gates
	decided time.Time
	waiting int  // for so many streams
	refused bool // by one of them
}

// begin waits for so many streams to obey; where there are none, nothing is measured.
func (r *rollouts) begin(number uint64, decided time.Time, waiting int) {
	if waiting == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.open) >= maxRollouts {
		r.open = append(r.open[:0], r.open[1:]...)
	}
	r.open = append(r.open, rollout{number: number, decided: decided, waiting: waiting})
}

// pass says that the rollouts above from, and up to to, need not wait for one of the
// streams any more: it has taken gates as new as these, or refused them.
func (r *rollouts) pass(from, to uint64, refused bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := r.open[:0]
	for _, o := range r.open {
		if from < o.number && o.number <= to {
			o.waiting--
			o.refused = o.refused || refused
		}
		switch {
		case o.waiting > 0:
			kept = append(kept, o)
		case o.refused:
			r.refused++
		default:
			r.done(r.now().Sub(o.decided))
		}
	}
	r.open = kept
}

// RolloutCounts tells of the changes of the gates.
type RolloutCounts struct {
	Refused uint64 // by a proxy, since the server was made
	Waiting int    // some proxy has neither taken nor refused
}

// Rollouts returns the counts of now.
func (s *Server) Rollouts() RolloutCounts {
	s.rollouts.mu.Lock()
	defer s.rollouts.mu.Unlock()
	return RolloutCounts{Refused: s.rollouts.refused, Waiting: len(s.rollouts.open)}
}
