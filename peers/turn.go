package peers

import (
	"slices"
	"time"

	"breakwater.dev/breaker"
)

// Nobody can be asked before a connection is made, so the permits of a half-open breaker whose calls are connections are numbers
// of connections, which a replica deals among its proxies. Each half-open state is the turn of one replica: only that one deals
// permits, so that there are no more of them for being dealt at several places.

// wanted is for how long a replica whose proxies refused calls gets a turn.
const wanted = time.Minute

// demand notes that the proxies of a replica have refused calls of a breaker that is here.
func (r *Router) demand(key breaker.Key, by string, now breaker.Instant) {
	h := r.holdings[key]
	if h == nil {
		return
	}
	if h.demand == nil {
		h.demand = map[string]breaker.Instant{}
	}
	h.demand[by] = now
}

// nextTurn chooses the replica whose turn a half-open state is: the next one of those whose proxies want calls. Where none is known,
// it is this one.
func (r *Router) nextTurn(h *holding, at *place, now breaker.Instant) {
	var wants []string
	if since := breaker.Instant(at.refused.Load()); since != 0 && now.Sub(since) < wanted {
		wants = append(wants, r.o.Self.ID)
	}
	for id, since := range h.demand {
		if p := r.known(id); p != nil && p.Reached && now.Sub(since) < wanted {
			wants = append(wants, id)
		}
	}
	if len(wants) == 0 {
		h.turn = r.o.Self.ID
		return
	}
	slices.Sort(wants)
	i, _ := slices.BinarySearch(wants, h.turn+"\x00") // the first one after the last turn
	h.turn = wants[i%len(wants)]
}

// waitsForTurn keeps this replica from dealing permits of a half-open breaker while it is another one's turn.
func (r *Router) waitsForTurn(s *breaker.Status, turn string) {
	of := r.specOf(s.Key)
	if s.State == breaker.HalfOpen && of != nil && of.connections && turn != r.o.Self.ID {
		s.RetryAfter = max(s.RetryAfter, figuresPeriod)
	}
}
