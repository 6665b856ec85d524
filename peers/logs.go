package peers

import (
	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/convert"
	"breakwater.dev/peers/internal/peerspb"
)

// Suspect tells the other replicas that a breaker may be about to trip, so that their proxies log all of its calls, too.
func (r *Router) Suspect(key breaker.Key) {
	r.all(&peerspb.Message{Kind: &peerspb.Message_Suspect{Suspect: &peerspb.Suspect{Key: convert.Key(key)}}})
}

// Sampled tells the other replicas the breakers whose calls the proxies of this one do not all log, before these proxies begin to leave
// some out. It is to be called about once a second, also without keys. The keys have no node.
func (r *Router) Sampled(keys []breaker.Key) {
	m := &peerspb.Sampled{}
	for _, key := range keys {
		m.Keys = append(m.Keys, convert.Key(key))
	}
	r.all(&peerspb.Message{Kind: &peerspb.Message_Sampled{Sampled: m}})
}

// all sends a message to all replicas that are reached.
func (r *Router) all(m *peerspb.Message) {
	r.mu.Lock()
	defer r.unlock()
	for _, p := range r.core.Reached() {
		r.core.Send(p, m)
	}
}

// SampledElsewhere returns a function that reports whether proxies that get their layers from other replicas may not log all calls
// of a breaker. Where that is not known, they may. The function is safe for concurrent use.
func (r *Router) SampledElsewhere(now breaker.Instant) func(breaker.Key) bool {
	r.mu.Lock()
	defer r.unlock()
	var ids []string
	for _, p := range r.core.Others() {
		if p.Reached || r.core.CurrentView().Has(p.ID) {
			ids = append(ids, p.ID)
		}
	}
	return r.sampled.May(ids, now)
}
