package sampling

import (
	"sync/atomic"
	"time"

	"breakwater.dev/breaker"
)

// lasts is for how long a replica counts as one that samples after it has reported a sampled call.
const lasts = 3 * time.Second

// Own says how densely this replica's own proxies log the calls of a breaker that is here. The zero value knows nothing.
type Own struct {
	oneIn atomic.Uint32 // how densely they log
	at    atomic.Int64  // when that was seen
	floor atomic.Uint32 // how densely the proxies of other replicas log
	until atomic.Int64  // when that is over
}

// Took takes outcomes of this replica's own proxies.
func (o *Own) Took(outcomes []breaker.Reported, now breaker.Instant) {
	if oneIn, known := sparsest(outcomes); known {
		o.oneIn.Store(oneIn)
		o.at.Store(int64(now))
	}
	if floor := o.floor.Load(); now < breaker.Instant(o.until.Load()) {
		raise(outcomes, floor)
	}
}

// Others says how densely the proxies of other replicas log the calls of a breaker that is here. The zero value knows nothing.
type Others struct{ byReplica map[string]seen }

// seen is how densely the proxies of a replica log, by its last report.
type seen struct {
	oneIn uint32
	at    breaker.Instant
}

// Took takes outcomes that another replica reports.
func (s *Others) Took(replica string, outcomes []breaker.Reported, own *Own, now breaker.Instant) {
	oneIn, known := sparsest(outcomes)
	if !known {
		return
	}
	if s.byReplica == nil {
		s.byReplica = map[string]seen{}
	}
	s.byReplica[replica] = seen{oneIn, now}
	floor := uint32(0)  // for our own proxies
	theirs := uint32(0) // for the proxies of that replica
	if now.Sub(breaker.Instant(own.at.Load())) < lasts {
		theirs = own.oneIn.Load()
	}
	for id, of := range s.byReplica {
		if now.Sub(of.at) >= lasts {
			delete(s.byReplica, id)
			continue
		}
		if floor = max(floor, of.oneIn); id != replica {
			theirs = max(theirs, of.oneIn)
		}
	}
	own.floor.Store(floor)
	own.until.Store(int64(now.Add(lasts)))
	raise(outcomes, theirs)
}

// sparsest returns how many calls an outcome may stand for.
func sparsest(outcomes []breaker.Reported) (oneIn uint32, known bool) {
	for i := range outcomes {
		if o := &outcomes[i]; !o.Running && !o.Corrects && o.Uploading == 0 {
			oneIn, known = max(oneIn, o.OneIn), true
		}
	}
	return oneIn, known
}

// raise makes failures count as ones from a sample of one in oneIn.
func raise(outcomes []breaker.Reported, oneIn uint32) {
	if oneIn <= 1 {
		return
	}
	for i := range outcomes {
		if o := &outcomes[i]; o.Outcome.Failed() && !o.Corrects && o.Generation == 0 {
			o.OneIn = max(o.OneIn, oneIn)
		}
	}
}
