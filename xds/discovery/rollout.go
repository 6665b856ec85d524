package discovery

import (
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"breakwater.dev/xds"
)

// maxRollouts bounds how many are remembered that some proxy has yet to take: one may
// never answer.
const maxRollouts = 1024

// gates are the runtime layers that proxies get.
type gates struct {
	*xds.Layers
	number uint64 // from 1
}

// rollouts hand gates to the streams, and measure how long it takes until every proxy
// obeys. A rollout is over when no follower is behind it, so they end in order.
type rollouts struct {
	now     func() time.Time
	current atomic.Pointer[gates]

	mu        sync.Mutex
	followers map[*follower]bool
	open      []rollout // by number
	counts    RolloutCounts
}

// follower is a stream whose proxy has asked for its runtime layer.
type follower struct {
	wake chan struct{} // there are other gates for it; holds one
	node string        // set before it joins
	// obeyed is the number up to which no rollout waits for it.
	obeyed uint64
	// refuses tells that it has refused what it was sent last.
	refuses bool
}

// rollout is one change of the gates on its way.
type rollout struct {
	number  uint64 // of its gates
	decided time.Time
	waiting int  // for so many followers
	refused bool // by one of them
}

// RolloutCounts tell of the changes of the gates that were measured, which are those
// that change the layer of a proxy.
type RolloutCounts struct {
	Begun   uint64 // since the server was made
	Refused uint64 // of these, by a proxy
	Waiting int    // for a proxy that has neither taken nor refused; at most 1,024
}

// Rollouts returns the counts of now.
func (s *Server) Rollouts() RolloutCounts {
	r := &s.rollouts
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := r.counts
	counts.Waiting = len(r.open)
	return counts
}

// publish makes l current, and wakes the followers for whom that is another layer, or the same for
// a shorter time.
func (r *rollouts) publish(l *xds.Layers, decided time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.current.Load()
	next := &gates{Layers: l, number: before.number + 1}
	r.current.Store(next)
	o := rollout{number: next.number, decided: decided}
	for f := range r.followers {
		same := before.Layer(f.node).Version == next.Layer(f.node).Version
		if same && f.obeyed == before.number {
			f.obeyed = next.number
			o.refused = o.refused || f.refuses
			if next.Gates().Brief(f.node) && !before.Gates().Brief(f.node) {
				signal(f.wake) // it is to hear of the same layer more often, and keep it for less long
			}
			continue
		}
		o.waiting++
		signal(f.wake)
	}
	if decided.IsZero() || o.waiting == 0 {
		return
	}
	r.counts.Begun++
	if len(r.open) >= maxRollouts {
		r.open = r.open[1:]
	}
	r.open = append(r.open, o)
}

// signal wakes who waits for c, which holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it has yet to look, and will find the latest
	}
}

// join has f follow from now on. No rollout that has begun waits for it.
func (r *rollouts) join(f *follower) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f.obeyed = r.current.Load().number
	r.followers[f] = true
}

// pass says that f has come as far as the gates of a number: it has taken them or newer
// ones, or refused them. It returns how long the rollouts took that are over thereby.
func (r *rollouts) pass(f *follower, number uint64, refused bool) []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	f.refuses = refused
	return r.advance(f, number)
}

// leave has f follow no more; nothing waits for it.
func (r *rollouts) leave(f *follower) []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.followers[f] {
		return nil
	}
	delete(r.followers, f)
	f.refuses = false
	return r.advance(f, r.current.Load().number)
}

func (r *rollouts) advance(f *follower, number uint64) (took []time.Duration) {
	first := sort.Search(len(r.open), func(i int) bool { return r.open[i].number > f.obeyed })
	for i := first; i < len(r.open) && r.open[i].number <= number; i++ {
		o := &r.open[i]
		o.waiting--
		o.refused = o.refused || f.refuses
	}
	f.obeyed = max(f.obeyed, number)
	for len(r.open) > 0 && r.open[0].waiting == 0 {
		if o := r.open[0]; o.refused {
			r.counts.Refused++
		} else {
			took = append(took, r.now().Sub(o.decided))
		}
		r.open = r.open[1:]
	}
	return took
}
