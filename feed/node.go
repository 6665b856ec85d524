package feed

import (
	"net/netip"
	"sync"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/wire"
)

// node is what is known of one proxy. Its streams, of which each of its workers has some,
// share it.
type node struct {
	id    string
	owner string // the identity that it is of; "": not known. Guarded by the server.

	mu       sync.Mutex
	clocks   clocks
	timeline timeline
	meters   map[breaker.Key]*meter
	links    map[string]*Links // to upstreams that speak TCP
	streams  int
	left     breaker.Instant // when the last stream ended
}

// Links are what a proxy has told of its connections to an upstream that speaks TCP.
type Links struct {
	// Connections are established, and Connecting those that are being made.
	Connections, Connecting uint32
	// Called is when the proxy last told that somebody wanted a connection, Refused that it let
	// none through, and Admitted that it did; 0: never.
	Called, Refused, Admitted breaker.Instant
	// Pause is how long nobody had called before the last second in which somebody did; 0: not known.
	Pause time.Duration

	second  breaker.Instant // when that second began
	begun   breaker.Instant // when the last connection began to be made that was not turned away
	before  breaker.Instant // and the one before it
	attempt time.Duration   // how long one may take
}

// linksTo returns those to an upstream, which are made if there are none.
func (n *node) linksTo(upstream string) *Links {
	l := n.links[upstream]
	if l == nil {
		l = &Links{}
		n.links[upstream] = l
	}
	return l
}

// called notes that somebody wants a connection.
func (l *Links) called(now breaker.Instant) {
	if passed := now.Sub(l.second); l.Called == 0 {
		l.second = now
	} else if passed >= time.Second {
		l.Pause, l.second = passed, now
	}
	l.Called = now
}

// take takes on an entry. Those of one connection come in order: its start, that it is established,
// and its end, which is all there is of it where the proxy logs no start. An end may be lost.
func (l *Links) take(e *entry, what connected, now breaker.Instant) {
	l.settle(now)
	made := e.remote.IsValid() && e.flags&(wire.ConnectFailure|wire.UpstreamOverflow|wire.NoHealthyUpstream) == 0
	switch {
	case e.kind == tcpConnectionStart:
		l.called(now)
		l.Connecting++
		l.before, l.begun = l.begun, now
		return
	case what == established:
		l.Connecting -= min(l.Connecting, 1)
		l.Connections++
	case e.kind != tcpConnectionEnd:
		return
	case made:
		l.Connections -= min(l.Connections, 1)
		return
	default:
		l.Connecting -= min(l.Connecting, 1)
	}
	l.called(now)
	if what != turnedAway {
		l.Admitted = now
		return
	}
	if l.Refused = now; l.before > 0 {
		l.begun = l.before // that one was over at once
	}
}

// settle corrects what was lost: of connections that were being made, none is when the last one has had its time.
func (l *Links) settle(now breaker.Instant) {
	if now.Sub(l.begun) > l.attempt {
		l.Connecting = 0
	}
}

// lingering is how long a proxy is remembered that has no stream.
const lingering = time.Minute

func (n *node) forgotten(now breaker.Instant) bool {
	left, streams := n.presence()
	return streams == 0 && now.Sub(left) >= lingering
}

// presence returns how many streams the proxy has, and when the last one ended.
func (n *node) presence() (left breaker.Instant, streams int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.left, n.streams
}

// turn begins another second, and adds what was busier than at other proxies.
func (n *node) turn(seconds float64, busiest map[breaker.Key]meter) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for key, m := range n.meters {
		m.through.turn(seconds)
		m.rejected.turn(seconds)
		if m.through.value+m.rejected.value < 0.01 {
			delete(n.meters, key)
		}
		b := busiest[key]
		b.through.value = max(b.through.value, m.through.value)
		b.rejected.value = max(b.rejected.value, m.rejected.value)
		busiest[key] = b
	}
}

func (n *node) traffic(key breaker.Key) float64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := n.meters[key]
	if m == nil {
		return 0
	}
	return m.through.value + m.rejected.value
}

func (n *node) meter(key breaker.Key) *meter {
	m := n.meters[key]
	if m == nil {
		m = &meter{}
		n.meters[key] = m
	}
	return m
}

// EndpointOutcome is what became of one call at one endpoint.
type EndpointOutcome struct {
	Endpoint netip.AddrPort
	// Status is the HTTP status; 0 where there was none.
	Status int
	// Local tells that the proxy had no answer: it could not connect, or the deadline
	// passed, or the connection broke.
	Local bool
	At    breaker.Instant
	// Calls is for how many it stands: more than one only if it succeeded.
	Calls uint32
	// OneIn is how the successes of that time were told of: one of so many.
	OneIn uint32
}

// batch is what one message tells, in places that are used again.
type batch struct {
	groups    []group
	byBreaker map[*breaker.Breaker]int
	judged    []judged
}

// group is what a message tells of one breaker.
type group struct {
	of       *target
	breaker  *breaker.Breaker
	outcomes []breaker.Reported
	rejected uint64
	// uploading are probes whose requests have not ended.
	uploading []uint32
}

// judged is what a message tells of the endpoints of one upstream.
type judged struct {
	upstream string
	outcomes []EndpointOutcome
}

func (b *batch) reset() {
	clear(b.byBreaker)
	b.groups, b.judged = b.groups[:0], b.judged[:0]
}

func (b *batch) group(to *target, of *breaker.Breaker) *group {
	i, known := b.byBreaker[of]
	if !known {
		i = len(b.groups)
		b.byBreaker[of] = i
		if i < cap(b.groups) {
			b.groups = b.groups[:i+1]
			g := &b.groups[i]
			*g = group{of: to, breaker: of, outcomes: g.outcomes[:0], uploading: g.uploading[:0]}
		} else {
			b.groups = append(b.groups, group{of: to, breaker: of})
		}
	}
	return &b.groups[i]
}

func (b *batch) endpoint(upstream string, o EndpointOutcome) {
	for i := range b.judged {
		if b.judged[i].upstream == upstream {
			b.judged[i].outcomes = append(b.judged[i].outcomes, o)
			return
		}
	}
	b.judged = append(b.judged, judged{upstream, []EndpointOutcome{o}})
}
