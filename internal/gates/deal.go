package gates

import (
	"slices"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/xds"
)

// Proxy is one that reaches an upstream whose calls are connections, with what it has told of them.
type Proxy struct {
	Node string
	// Connections are established, and Connecting are those that are being made.
	Connections, Connecting uint32
	// Called is when somebody last wanted a connection, Refused when the proxy last let
	// none through, and Admitted when it last did; 0: never.
	Called, Refused, Admitted breaker.Instant
	// Pause is how long nobody called before the last second in which somebody did.
	Pause time.Duration
	// Obeys are the gates that are in force in it, and Told is when it last said so; nil: none.
	Obeys *xds.Gates
	Told  breaker.Instant
	// Began is when it last came without gates, as one does that has restarted; 0: not known.
	Began breaker.Instant
	// Left says that it has no stream any more. Its gates are in force until their time is over.
	Left bool
	// Barred says that its workload may not call the upstream. It may have a permit from before.
	Barred bool
}

const (
	// dealPeriod is how often permits are dealt again.
	dealPeriod = time.Second
	// arriving is how long what a proxy logs is on its way here, at most.
	arriving = 500 * time.Millisecond
	// calling is for how long a proxy counts as one whose application calls.
	calling = time.Minute
	// leastPatience is how long a proxy may keep a permit without using it where others want one. One
	// whose application calls from time to time has twice as long as it was quiet
	// before, and at most mostPatience.
	leastPatience = time.Second
	mostPatience  = 15 * time.Second
)

// deal is how the permits of a breaker in half-open are dealt out among the proxies. A connection
// is a call for as long as it lasts, and a proxy lets a new one through while it has fewer than its
// gate says: so its gate says how many it had before half-open, and the permits that it has
// come on top of them.
//
// A permit goes to another proxy only when it is known to be gone from the one that had it:
// that one obeys a gate without it, and has had the time to tell of what it let through before.
type deal struct {
	generation uint64
	hands      map[string]*hand // by node
}

// hand is what one proxy has of the permits.
type hand struct {
	old     uint32          // connections from before half-open
	hidden  uint32          // of these, those that it never told of
	share   uint32          // permits that it has
	highest uint32          // the highest limit that may be in force
	since   breaker.Instant // when share was last changed
	probes  uint32          // connections that are not from before
	began   breaker.Instant // Proxy.Began, as it was
	obeys   breaker.Instant // when it was first known to obey the limit of now; 0: it is not
	turned  breaker.Instant // when it first let nobody through since then; 0: it has not
}

// limit is how many connections the proxy may have. Without a permit it is none: old ones
// that end must not make room for others.
func (h *hand) limit() uint32 {
	if h == nil || h.share == 0 {
		return 0
	}
	return h.old + h.share
}

// used is how many permits the proxy has, or may act on still.
func (h *hand) used() uint32 {
	return max(h.share, h.probes, h.highest-min(h.highest, h.old))
}

func (h *hand) spare() uint32 { return h.share - min(h.share, h.probes) }

// look takes on what a proxy has told and how far it obeys.
func (h *hand) look(p *Proxy, key breaker.Key, now breaker.Instant) {
	if p.Began > h.began {
		h.began, h.hidden = p.Began, 0 // those were of the process before
	}
	live := p.Connections + h.hidden
	h.old = min(h.old, live)
	h.probes = live + p.Connecting - h.old
	if limit, gated := p.Obeys.Connections(key, p.Node); !gated || limit != h.limit() || p.Told < h.since {
		h.obeys, h.turned = 0, 0
		return
	}
	if h.obeys == 0 {
		h.obeys = p.Told
	}
	known := h.obeys.Add(arriving) // all that came of the limit before
	if now < known {
		return
	}
	h.highest = h.limit()
	if h.turned == 0 && p.Refused > known {
		h.turned = p.Refused
	}
	// It has a permit, has used none, and lets nobody through: then it has connections that
	// it never told of, such as those from before this process.
	refuses := h.turned > 0 && now.Sub(h.turned) >= arriving && p.Admitted < h.since
	if h.share > 0 && h.probes == 0 && refuses {
		h.hidden, h.old = h.hidden+h.share, h.old+h.share
		h.change(h.share, now)
	}
}

// change gives the proxy so many permits from now on.
func (h *hand) change(share uint32, now breaker.Instant) {
	h.share, h.since = share, now
	h.obeys, h.turned = 0, 0
	h.highest = max(h.highest, h.limit())
}

// idle tells whether a proxy has kept a permit for so long without using it that others may
// have it.
func (h *hand) idle(p *Proxy, now breaker.Instant) bool {
	patience := leastPatience
	if p.Called > 0 {
		patience = min(max(2*p.Pause, leastPatience), mostPatience)
	}
	return h.spare() > 0 && now.Sub(max(h.since, p.Admitted)) >= patience
}

// turn deals the permits of a breaker in half-open, and returns its gates.
func (d *deal) turn(s *breaker.Status, proxies []Proxy, now breaker.Instant) []xds.Gate {
	if d.generation != s.Generation || len(d.hands) == 0 {
		d.begin(s, proxies, now)
	} else {
		d.again(s, proxies, now)
	}
	none := uint32(0)
	gates := []xds.Gate{{Key: s.Key, Probe: true, Connections: &none}} // who has no permit
	for node, h := range d.hands {
		limit := h.limit()
		if limit == 0 {
			continue
		}
		gate := xds.Gate{Key: s.Key, Probe: true, Connections: &limit}
		if gate.Key.Node != "" {
			return []xds.Gate{gate}
		}
		gate.Key.Node = node
		gates = append(gates, gate)
	}
	return gates
}

// begin deals all permits out to the proxies whose applications call, or to all where none is known to.
func (d *deal) begin(s *breaker.Status, proxies []Proxy, now breaker.Instant) {
	*d = deal{generation: s.Generation, hands: map[string]*hand{}}
	var callers, all []string
	for i := range proxies {
		p := &proxies[i]
		// What one is allowed still that is slow to obey.
		if limit, gated := p.Obeys.Connections(s.Key, p.Node); gated && limit > 0 {
			d.hands[p.Node] = &hand{old: p.Connections, highest: limit, since: now}
		}
		if p.Left || p.Barred {
			continue
		}
		all = append(all, p.Node)
		if p.Called > 0 && now.Sub(p.Called) <= calling {
			callers = append(callers, p.Node)
		}
	}
	if len(callers) == 0 {
		callers = all
	}
	// Which of them get one more, or one at all, is another choice each time.
	n := len(callers)
	permits := s.Config.PermittedNumberOfCallsInHalfOpenState
	first := 0
	if n > 0 {
		first = int(s.Generation * uint64(permits) % uint64(n))
	}
	turned := slices.Concat(callers[first:], callers[:first])
	d.give(permits-min(permits, d.used()), turned, proxies, now)
}

func (d *deal) used() (n uint32) {
	for _, h := range d.hands {
		n += h.used()
	}
	return n
}

// give deals n permits out among nodes, one after the other.
func (d *deal) give(n uint32, nodes []string, proxies []Proxy, now breaker.Instant) {
	for i, node := range nodes {
		more := n / uint32(len(nodes))
		if uint32(i) < n%uint32(len(nodes)) {
			more++
		}
		if more == 0 {
			continue
		}
		h := d.hands[node]
		if h == nil {
			at := slices.IndexFunc(proxies, func(p Proxy) bool { return p.Node == node })
			h = &hand{old: proxies[at].Connections}
			d.hands[node] = h
		}
		h.change(h.share+more, now)
	}
}

// again deals out again what is free, and takes what is idle from its proxies, where somebody wants it.
func (d *deal) again(s *breaker.Status, proxies []Proxy, now breaker.Instant) {
	here := make(map[string]*Proxy, len(proxies))
	for i := range proxies {
		here[proxies[i].Node] = &proxies[i]
	}
	for node, h := range d.hands {
		p := here[node]
		if p == nil {
			delete(d.hands, node) // its gates are not in force any more
			continue
		}
		h.look(p, s.Key, now)
		if p.Barred && h.share > 0 {
			h.change(0, now)
		}
		if h.used() == 0 {
			delete(d.hands, node)
		}
	}
	wanting := d.wanting(s, proxies, now)
	if len(wanting) == 0 {
		return
	}
	permits := s.Config.PermittedNumberOfCallsInHalfOpenState
	if free := permits - min(permits, d.used()); free > 0 {
		d.give(free, wanting[:min(len(wanting), int(free))], proxies, now)
		wanting = wanting[min(len(wanting), int(free)):]
	}
	if len(wanting) == 0 {
		return
	}
	for node, h := range d.hands {
		if p := here[node]; !p.Left && !slices.Contains(wanting, node) && h.idle(p, now) {
			h.change(h.share-h.spare(), now)
		}
	}
}

// wanting are the proxies that have let nobody through of late and have no permit to spare, the last first.
func (d *deal) wanting(s *breaker.Status, proxies []Proxy, now breaker.Instant) []string {
	var wanting []*Proxy
	for i := range proxies {
		p := &proxies[i]
		if p.Left || p.Barred || p.Refused == 0 || p.Refused < s.Since || now.Sub(p.Refused) > mostPatience {
			continue
		}
		if h := d.hands[p.Node]; h == nil || h.spare() == 0 && p.Refused > h.since {
			wanting = append(wanting, p)
		}
	}
	slices.SortFunc(wanting, func(a, b *Proxy) int { return int(b.Refused.Sub(a.Refused)) })
	nodes := make([]string, len(wanting))
	for i, p := range wanting {
		nodes[i] = p.Node
	}
	return nodes
}
