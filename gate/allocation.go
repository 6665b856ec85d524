package gate

import (
	"slices"
	"time"

	"breakwater.dev/breaker"
)

const (
	// allocationPeriod is how often permits are allocated again.
	allocationPeriod = time.Second
	// reportDelay is the longest time that an entry of a proxy's access log takes to arrive here.
	reportDelay = 500 * time.Millisecond
	// activeFor is how long a proxy counts as active after its application wanted a connection.
	activeFor = time.Minute
	// minPatience is how long a proxy may keep a permit unused while other proxies want one. A proxy whose application
	// calls from time to time may keep it for twice the pause before its last call, but at most for maxPatience.
	minPatience = time.Second
	maxPatience = 15 * time.Second
)

// allocation divides the permits of a half-open breaker among proxies, for an upstream whose calls are connections. A
// proxy admits a new connection while it has fewer connections than the limit in its gate. So the limit is the number of
// connections that the proxy had before half-open, plus the permits in its share.
//
// A permit moves to another proxy only when the first one has certainly lost it: it applies a gate without the permit,
// and it has had the time to report the connections that it admitted before.
type allocation struct {
	generation uint64            // the breaker's generation
	shares     map[string]*share // by node
}

// share is one proxy's part of the permits.
type share struct {
	old     uint32          // connections from before half-open
	hidden  uint32          // connections among old that the proxy never reported
	permits uint32          // permits that the proxy has
	highest uint32          // the highest limit that may be in force in the proxy
	since   breaker.Instant // when permits was last changed
	probes  uint32          // connections since half-open began
	began   breaker.Instant // the last known value of Proxy.Began
	applies breaker.Instant // when the proxy first reported that it applies the current limit; 0: it has not
	refused breaker.Instant // when the proxy first refused a connection under that limit; 0: it has not
}

// limit returns how many connections the proxy may have. Without a permit it is 0: an old connection that ends must not
// make room for a new one.
func (h *share) limit() uint32 {
	if h == nil || h.permits == 0 {
		return 0
	}
	return h.old + h.permits
}

// used returns how many permits the proxy has, or has lost without knowing it yet.
func (h *share) used() uint32 {
	return max(h.permits, h.probes, h.highest-min(h.highest, h.old))
}

// spare returns how many of its permits the proxy has not used.
func (h *share) spare() uint32 { return h.permits - min(h.permits, h.probes) }

// observe updates the share from the proxy's reports, and from the limit that the proxy applies.
func (h *share) observe(p *Proxy, key breaker.Key, now breaker.Instant) {
	if p.Began > h.began {
		h.began, h.hidden = p.Began, 0 // hidden connections ended with the process that had them
	}
	live := p.Connections + h.hidden
	h.old = min(h.old, live)
	h.probes = live + p.Connecting - h.old
	if limit, gated := p.Gates.Connections(key, p.Node); !gated || limit != h.limit() || p.Acknowledged < h.since {
		h.applies, h.refused = 0, 0
		return
	}
	if h.applies == 0 {
		h.applies = p.Acknowledged
	}
	known := h.applies.Add(reportDelay) // reports from before the limit have arrived by then
	if now < known {
		return
	}
	h.highest = h.limit()
	if h.refused == 0 && p.Refused > known {
		h.refused = p.Refused
	}
	// The proxy has an unused permit, and refuses connections all the same. So it has connections that it never
	// reported, such as those from before the control plane started.
	refuses := h.refused > 0 && now.Sub(h.refused) >= reportDelay && p.Admitted < h.since
	if h.permits > 0 && h.probes == 0 && refuses {
		h.hidden, h.old = h.hidden+h.permits, h.old+h.permits
		h.change(h.permits, now)
	}
}

// change sets the proxy's permits.
func (h *share) change(permits uint32, now breaker.Instant) {
	h.permits, h.since = permits, now
	h.applies, h.refused = 0, 0
	h.highest = max(h.highest, h.limit())
}

// idle reports whether a proxy has kept a permit unused for longer than it may.
func (h *share) idle(p *Proxy, now breaker.Instant) bool {
	patience := minPatience
	if p.Called > 0 {
		patience = min(max(2*p.Pause, minPatience), maxPatience)
	}
	return h.spare() > 0 && now.Sub(max(h.since, p.Admitted)) >= patience
}

// update allocates the permits of a half-open breaker, and returns its gates.
func (a *allocation) update(s *breaker.Status, proxies []Proxy, now breaker.Instant) []Gate {
	if a.generation != s.Generation || len(a.shares) == 0 {
		a.begin(s, proxies, now)
	} else {
		a.reallocate(s, proxies, now)
	}
	none := uint32(0)
	gates := []Gate{{Key: s.Key, Probe: true, Connections: &none}} // for proxies without a permit
	for node, h := range a.shares {
		limit := h.limit()
		if limit == 0 {
			continue
		}
		gate := Gate{Key: s.Key, Probe: true, Connections: &limit}
		if gate.Key.Node != "" {
			return []Gate{gate}
		}
		gate.Key.Node = node
		gates = append(gates, gate)
	}
	return gates
}

// begin allocates all permits to the active proxies, or to all proxies if none is active.
func (a *allocation) begin(s *breaker.Status, proxies []Proxy, now breaker.Instant) {
	*a = allocation{generation: s.Generation, shares: map[string]*share{}}
	var callers, all []string
	for i := range proxies {
		p := &proxies[i]
		// A proxy that is slow to apply gates may still act on an earlier limit.
		if limit, gated := p.Gates.Connections(s.Key, p.Node); gated && limit > 0 {
			a.shares[p.Node] = &share{old: p.Connections, highest: limit, since: now}
		}
		if p.Left || p.Barred {
			continue
		}
		all = append(all, p.Node)
		if p.Called > 0 && now.Sub(p.Called) <= activeFor {
			callers = append(callers, p.Node)
		}
	}
	if len(callers) == 0 {
		callers = all
	}
	// The proxies that come first get the permits that cannot be divided. They are other proxies each time.
	n := len(callers)
	permits := s.Config.PermittedNumberOfCallsInHalfOpenState
	first := 0
	if n > 0 {
		first = int(s.Generation * uint64(permits) % uint64(n))
	}
	rotated := slices.Concat(callers[first:], callers[:first])
	a.grant(permits-min(permits, a.used()), rotated, proxies, now)
}

// used returns how many permits all proxies together have, or have lost without knowing it yet.
func (a *allocation) used() (n uint32) {
	for _, h := range a.shares {
		n += h.used()
	}
	return n
}

// grant divides n permits evenly among nodes. The first nodes get one more if n cannot be divided.
func (a *allocation) grant(n uint32, nodes []string, proxies []Proxy, now breaker.Instant) {
	for i, node := range nodes {
		more := n / uint32(len(nodes))
		if uint32(i) < n%uint32(len(nodes)) {
			more++
		}
		if more == 0 {
			continue
		}
		h := a.shares[node]
		if h == nil {
			at := slices.IndexFunc(proxies, func(p Proxy) bool { return p.Node == node })
			h = &share{old: proxies[at].Connections}
			a.shares[node] = h
		}
		h.change(h.permits+more, now)
	}
}

// reallocate grants the free permits to proxies that wait for one, and takes idle permits from the other proxies.
func (a *allocation) reallocate(s *breaker.Status, proxies []Proxy, now breaker.Instant) {
	byNode := make(map[string]*Proxy, len(proxies))
	for i := range proxies {
		byNode[proxies[i].Node] = &proxies[i]
	}
	for node, h := range a.shares {
		p := byNode[node]
		if p == nil {
			delete(a.shares, node) // its gates are no longer in force
			continue
		}
		h.observe(p, s.Key, now)
		if p.Barred && h.permits > 0 {
			h.change(0, now)
		}
		if h.used() == 0 {
			delete(a.shares, node)
		}
	}
	waiting := a.waiting(s, proxies, now)
	if len(waiting) == 0 {
		return
	}
	permits := s.Config.PermittedNumberOfCallsInHalfOpenState
	if free := permits - min(permits, a.used()); free > 0 {
		first := min(len(waiting), int(free))
		a.grant(free, waiting[:first], proxies, now)
		waiting = waiting[first:]
	}
	if len(waiting) == 0 {
		return
	}
	for node, h := range a.shares {
		if p := byNode[node]; !p.Left && h.idle(p, now) {
			h.change(h.permits-h.spare(), now)
		}
	}
}

// waiting returns the proxies that have recently refused a connection and have no unused permit. The proxy with the latest
// refusal comes first.
func (a *allocation) waiting(s *breaker.Status, proxies []Proxy, now breaker.Instant) []string {
	var waiting []*Proxy
	for i := range proxies {
		p := &proxies[i]
		if p.Left || p.Barred || p.Refused == 0 || p.Refused < s.Since || now.Sub(p.Refused) > maxPatience {
			continue
		}
		if h := a.shares[p.Node]; h == nil || h.spare() == 0 && p.Refused > h.since {
			waiting = append(waiting, p)
		}
	}
	slices.SortFunc(waiting, func(x, y *Proxy) int { return int(y.Refused.Sub(x.Refused)) })
	nodes := make([]string, len(waiting))
	for i, p := range waiting {
		nodes[i] = p.Node
	}
	return nodes
}
