package feed

import (
	"breakwater.dev/breaker"
	"breakwater.dev/feed/internal/sampling"
	"breakwater.dev/feed/internal/suspects"
)

// report reports the outcomes of a group, or has them wait while the breaker is a suspect.
func (w *worker) report(g *group, now breaker.Instant) {
	s, of := w.server, w.subject(g.target)
	if x := s.suspects.All()[of.Key]; x != nil && x.Hold(g.outcomes) {
		x.Settle(s.options.Decider, now)
		return
	}
	s.options.Decider.Report(of, g.outcomes, now)
	if g.sparsest <= 1 || !g.target.runs {
		return
	}
	if suspicious, _ := suspects.Judge(s.options.Decider, of.Key, g.sparsest, now); suspicious {
		if x := s.suspect(of, w.node, now); x != nil {
			w.suspect = x
		}
	}
}

// settleDue settles the suspect that this stream has found, so that its outcomes need not wait for the next message of any stream. It
// returns false where there is none.
func (w *worker) settleDue(now breaker.Instant) bool {
	if w.suspect == nil {
		return false
	}
	if w.suspect.Closed() {
		w.suspect = nil
		return false
	}
	w.suspect.Settle(w.server.options.Decider, now)
	return true
}

// suspect has proxies log all calls of a breaker, if that is worth it; nil: it is not. The node is the proxy with the failures.
func (s *Server) suspect(of breaker.Subject, n *node, now breaker.Instant) *suspects.Suspect {
	key := of.Key
	key.Node = ""
	s.mu.Lock()
	sampler, exact := s.samplers[key], s.suspects.Keys()
	if s.suspects.All()[of.Key] != nil || sampler == nil || sampler.OneIn() == 1 ||
		!exact[key] && !sampling.Affordable(sampler.Rate(), s.load(exact), sampler.OneIn()) {
		s.mu.Unlock()
		return nil
	}
	x := suspects.New(of, sampler.OneIn(), now)
	for _, other := range s.nodes.byID {
		if longest, calls := other.calls(key); calls && (of.Key.Node == "" || other == n) {
			x.Watch(other, longest)
		}
	}
	s.suspects.Add(x)
	s.mu.Unlock()
	if !exact[key] {
		s.options.LogAll(key)
	}
	return x
}

// Suspect has this server's proxies log all calls of a breaker, if that is worth it, since calls of other proxies say that it may be
// about to trip. The key has no node.
func (s *Server) Suspect(key breaker.Key) {
	s.suspect(breaker.Subject{Key: key}, nil, s.options.Now())
}

// load returns how many calls of some breakers pass in a second. The caller holds s.mu.
func (s *Server) load(of map[breaker.Key]bool) (perSecond float64) {
	for key := range of {
		if sampler := s.samplers[key]; sampler != nil {
			perSecond += sampler.Rate()
		}
	}
	return perSecond
}
