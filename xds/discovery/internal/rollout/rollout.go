package rollout

import (
	"sort"
	"sync/atomic"
	"time"

	"breakwater.dev/internal/lockorder"
	"breakwater.dev/xds"
)

// Max is how many changes of the gates are remembered that a proxy has yet to answer for: a proxy may never answer.
const Max = 1024

// Gates are the gates that proxies get, as runtime layers.
type Gates struct {
	*xds.Layers
	Number uint64 // grows with each change of the gates
}

// Rollouts are the changes of the gates. A rollout is over when every follower has answered for it, so rollouts end in order.
type Rollouts struct {
	now     func() time.Time
	current atomic.Pointer[Gates]

	mu        lockorder.Mutex[lockorder.DiscoveryLeaf] // guards the following fields
	followers map[*Follower]bool
	open      []rollout // by number
	counts    Counts
}

// New returns rollouts of which none has begun; proxies get the given layers.
func New(layers *xds.Layers, now func() time.Time) *Rollouts {
	r := &Rollouts{now: now, followers: map[*Follower]bool{}}
	r.current.Store(&Gates{Layers: layers})
	return r
}

// Follower is a stream whose proxy has asked for its runtime layer, or may ask for it.
type Follower struct {
	wake chan struct{} // has an element when there are other gates for the follower
	node string
	// ackedNumber is the number of the gates up to which no rollout waits for it.
	ackedNumber uint64
	refuses     bool // it has refused what it was sent last
}

// rollout is one change of the gates on its way.
type rollout struct {
	number  uint64 // the number of the gates
	decided time.Time
	waiting int  // the number of followers that have yet to answer
	refused bool // a follower has refused the gates
}

// NewFollower returns a follower that has not joined yet.
func NewFollower() *Follower { return &Follower{wake: make(chan struct{}, 1)} }

// Wake has an element when there are other gates for the follower, or the same for a shorter time.
func (f *Follower) Wake() <-chan struct{} { return f.wake }

// signal wakes the stream.
func (f *Follower) signal() {
	select {
	case f.wake <- struct{}{}:
	default: // the stream has yet to look, and will find the latest
	}
}

// Counts count the changes of the gates that were measured: every change of the layer of a proxy.
type Counts struct {
	Begun   uint64 // since the server was made
	Refused uint64 // since the server was made, by at least one proxy
	Waiting int    // now, for a proxy that has neither taken nor refused the change; at most [Max]
}

// Counts returns the counts.
func (r *Rollouts) Counts() Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := r.counts
	counts.Waiting = len(r.open)
	return counts
}

// Current returns the gates that proxies get.
func (r *Rollouts) Current() *Gates { return r.current.Load() }

// Publish makes l current, and wakes the followers for which l has another layer, or the same layer for a shorter time. Unless
// decided is zero, the time is measured from then until the last follower whose layer changes has answered.
func (r *Rollouts) Publish(l *xds.Layers, decided time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.current.Load()
	next := &Gates{Layers: l, Number: before.Number + 1}
	r.current.Store(next)
	o := rollout{number: next.Number, decided: decided}
	for f := range r.followers {
		if before.Same(next.Layers, f.node) && f.ackedNumber == before.Number {
			f.ackedNumber = next.Number
			o.refused = o.refused || f.refuses
			if next.Gates().Brief(f.node)&^before.Gates().Brief(f.node) != 0 {
				f.signal() // its layer must be sent more often, with a shorter TTL
			}
			continue
		}
		o.waiting++
		f.signal()
	}
	if decided.IsZero() || o.waiting == 0 {
		return
	}
	r.counts.Begun++
	if len(r.open) >= Max {
		r.open = r.open[1:]
	}
	r.open = append(r.open, o)
}

// Join adds the follower of a proxy's stream. No rollout that has begun waits for it.
func (r *Rollouts) Join(f *Follower, node string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f.node, f.ackedNumber = node, r.current.Load().Number
	r.followers[f] = true
}

// Pass notes that f has answered for the gates of a number: its proxy has taken them or newer gates, or has refused them. It
// returns how long the rollouts took that are over now.
func (r *Rollouts) Pass(f *Follower, number uint64, refused bool) []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	f.refuses = refused
	return r.advance(f, number)
}

// Leave removes f, so that no rollout waits for it. It returns how long the rollouts took that are over now.
func (r *Rollouts) Leave(f *Follower) []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.followers[f] {
		return nil
	}
	delete(r.followers, f)
	f.refuses = false
	return r.advance(f, r.current.Load().Number)
}

// advance notes that f has answered for the gates of a number. The caller holds r.mu.
func (r *Rollouts) advance(f *Follower, number uint64) (took []time.Duration) {
	first := sort.Search(len(r.open), func(i int) bool { return r.open[i].number > f.ackedNumber })
	for i := first; i < len(r.open) && r.open[i].number <= number; i++ {
		o := &r.open[i]
		o.waiting--
		o.refused = o.refused || f.refuses
	}
	f.ackedNumber = max(f.ackedNumber, number)
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
