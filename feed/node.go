package feed

import (
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/feed/internal/clock"
	"breakwater.dev/feed/internal/links"
	"breakwater.dev/feed/internal/running"
	"breakwater.dev/feed/internal/sampling"
	"breakwater.dev/internal/lockorder"
)

// node is one proxy. All its streams share it; each of its workers has some.
type node struct {
	id    string
	owner string // the identity that the proxy belongs to; empty: not known. Guarded by the server.

	mu       lockorder.Mutex[lockorder.FeedNode] // guards what follows
	clock    clock.Proxy
	timeline sampling.Timeline
	meters   map[breaker.Key]*sampling.Meter
	links    map[string]*links.Links // by upstream
	running  running.Calls
	streams  int
	left     breaker.Instant // when the last stream ended, or the node was added
	home     sampling.Home
}

// linksTo returns the connections to an upstream, and adds them if there are none yet.
func (n *node) linksTo(upstream string) *links.Links {
	l := n.links[upstream]
	if l == nil {
		l = &links.Links{}
		n.links[upstream] = l
	}
	return l
}

// forgetRunning forgets the calls that were reported while they were running.
func (n *node) forgetRunning() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.running.Clear()
}

// retention is how long a proxy without a stream is remembered.
const retention = time.Minute

// expired reports whether the proxy has had no stream for so long that it can be removed.
func (n *node) expired(now breaker.Instant) bool {
	left, streams := n.presence()
	return streams == 0 && now.Sub(left) >= retention
}

// presence returns how many streams the proxy has, and when the last one ended.
func (n *node) presence() (left breaker.Instant, streams int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.left, n.streams
}

// updateRates updates the rates of the proxy, and raises those in busiest that are lower.
func (n *node) updateRates(seconds float64, busiest map[breaker.Key]sampling.Meter) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for key, m := range n.meters {
		m.Update(seconds)
		if m.PerSecond() < 0.01 {
			delete(n.meters, key)
		}
		b := busiest[key]
		b.Raise(m)
		busiest[key] = b
	}
}

// traffic returns how many calls per second the proxy has made or rejected.
func (n *node) traffic(key breaker.Key) float64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := n.meters[key]
	if m == nil {
		return 0
	}
	return m.PerSecond()
}

// calls reports whether the proxy makes calls of a breaker, and how long the sampled ones took at most in the last seconds.
func (n *node) calls(key breaker.Key) (longest time.Duration, calls bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := n.meters[key]
	if m == nil {
		return 0, false
	}
	return m.Longest(), true
}

// ExactSince implements [suspects.Proxy]. A proxy without a stream logs nothing.
func (n *node) ExactSince(now breaker.Instant, key breaker.Key) (since breaker.Instant, exact bool) {
	key.Node = ""
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.streams == 0 {
		return 0, true
	}
	return n.timeline.ExactSince(now, key)
}

// meter returns the rates of a breaker, and adds them if there are none yet.
func (n *node) meter(key breaker.Key) *sampling.Meter {
	m := n.meters[key]
	if m == nil {
		m = &sampling.Meter{}
		n.meters[key] = m
	}
	return m
}
