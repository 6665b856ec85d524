package peers

import (
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/convert"
	"breakwater.dev/peers/internal/outbox"
	"breakwater.dev/peers/internal/peerspb"
)

// Proxies of a busy upstream log one of so many successes, and each replica decides that for its own proxies. A run of failures is
// certain only if no proxy of any replica can have had a success in it. So a failure counts as one from a sample while the
// proxies of another replica sample.

// sampledFor is for how long a replica counts as one that samples after it has reported a sampled call.
const sampledFor = 3 * time.Second

// sampled is how densely the proxies of a replica log, by its last report.
type sampled struct {
	oneIn uint32
	at    breaker.Instant
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
	for i := range outcomes {
		if o := &outcomes[i]; o.Outcome.Failed() && !o.Corrects && o.Generation == 0 {
			o.OneIn = max(o.OneIn, oneIn)
		}
	}
}

// reportHere reports outcomes of this replica's own proxies to a breaker that is here.
func (r *Router) reportHere(at *place, s breaker.Subject, outcomes []breaker.Reported, now breaker.Instant) {
	if oneIn, known := sparsest(outcomes); known {
		at.oneIn.Store(oneIn)
		at.sampledAt.Store(int64(now))
	}
	if floor := at.floor.Load(); floor > 1 && now < breaker.Instant(at.floorUntil.Load()) {
		raise(outcomes, floor)
	}
	r.local.Report(s, outcomes, now)
}

// sample notes how densely the proxies of another replica log, and raises its failures while those of others sample.
func (r *Router) sample(p *peer, i *outbox.Item, now breaker.Instant) {
	key := i.Subject.Key
	at, h := r.find(key), r.holdings[key]
	oneIn, known := sparsest(i.Outcomes)
	if !known || at == nil || h == nil {
		return
	}
	if h.samples == nil {
		h.samples = map[string]sampled{}
	}
	h.samples[p.ID] = sampled{oneIn, now}
	floor := uint32(0) // for our own proxies
	theirs := uint32(0)
	if now.Sub(breaker.Instant(at.sampledAt.Load())) < sampledFor {
		theirs = at.oneIn.Load()
	}
	for id, s := range h.samples {
		if now.Sub(s.at) >= sampledFor {
			delete(h.samples, id)
			continue
		}
		if floor = max(floor, s.oneIn); id != p.ID {
			theirs = max(theirs, s.oneIn)
		}
	}
	at.floor.Store(floor)
	at.floorUntil.Store(int64(now.Add(sampledFor)))
	if theirs > 1 {
		raise(i.Outcomes, theirs)
	}
}

// Suspect tells the other replicas that a breaker may be about to trip, so that their proxies log all of its calls, too.
func (r *Router) Suspect(key breaker.Key) {
	r.mu.Lock()
	defer r.unlock()
	for _, p := range r.others() {
		if p.Reached {
			r.send(p, &peerspb.Message{Kind: &peerspb.Message_Suspect{Suspect: &peerspb.Suspect{Key: convert.Key(key)}}})
		}
	}
}
