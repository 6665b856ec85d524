package publication

import (
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"breakwater.dev/internal/lockorder"
	"breakwater.dev/policy"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/node"
)

// Proxies are the proxies that are connected. A [Publisher] calls the methods with its lock held.
type Proxies interface {
	// Nodes returns the node of each proxy.
	Nodes() []node.Node
	// Late reports whether any proxy may still route calls by other routes than the publication's.
	Late(*Publication, time.Time) bool
	// Admit makes the proxies' reports count by [Publisher.Admitted] from now on.
	Admit()
	// Wake sends [Publisher.Current] to the proxies.
	Wake()
}

// Alarm calls [Publisher.Expire] once, after the time of the last Reset. A [time.Timer] is an alarm.
type Alarm interface{ Reset(time.Duration) bool }

// Publisher has the publication that proxies get. It replaces the publication by the next one, keeps departing upstreams for
// a while, and marks the ejected endpoints.
type Publisher struct {
	proxies Proxies
	alarm   Alarm
	now     func() time.Time
	log     *slog.Logger

	current   atomic.Pointer[Publication] // proxies get this one; nil: nothing is published yet
	published atomic.Pointer[Publication] // as it was prepared, without departing upstreams and ejections
	admitted  atomic.Pointer[Access]      // reports count by this one; nil: nothing is published yet

	mu        lockorder.Mutex[lockorder.DiscoveryPublisher] // serialises changes of current, and guards the fields below
	ejected   map[string][]netip.AddrPort                   // by upstream; replaced, not changed
	departing []departure
}

// NewPublisher returns a publisher that has published nothing.
func NewPublisher(proxies Proxies, alarm Alarm, now func() time.Time, log *slog.Logger) *Publisher {
	return &Publisher{proxies: proxies, alarm: alarm, now: now, log: log}
}

// Current returns the publication that proxies get; nil: nothing is published yet.
func (p *Publisher) Current() *Publication { return p.current.Load() }

// Admitted returns the access that decides which reports of proxies count; nil: nothing is published yet.
func (p *Publisher) Admitted() *Access { return p.admitted.Load() }

// Prepare translates a set for a default proxy and for every proxy that is connected. It changes nothing. A set that cannot
// be translated is an error here.
func (p *Publisher) Prepare(set *policy.Set) (*Publication, error) { return p.prepare(set, nil) }

func (p *Publisher) prepare(set *policy.Set, departing []departure) (*Publication, error) {
	next := newPublication(set, departing)
	if _, err := next.Resources(xds.DefaultListen, next.access.calls(nil)); err != nil {
		return nil, err
	}
	for _, n := range p.proxies.Nodes() {
		if _, err := next.Resources(n.Listen, next.access.CallsOf(n)); err != nil {
			return nil, err
		}
	}
	return next, nil
}

// Publish sends next to all proxies, joined by departing upstreams, and with the ejected endpoints marked.
func (p *Publisher) Publish(next *Publication) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	var before *policy.Set
	if published := p.published.Load(); published != nil {
		before = published.set
	}
	p.departing = departures(before, p.departing, next.set, now)
	p.published.Store(next)
	joined := p.join(now)
	p.Admit(joined)
	p.show(p.withEjected(joined))
}

// Admit makes a proxy's reports count, from now on, only for the upstreams that next lets its workload call.
// [Publisher.Publish] does the same.
func (p *Publisher) Admit(next *Publication) {
	p.admitted.Store(next.access)
	p.proxies.Admit()
}

// Expire drops the departures that are over.
func (p *Publisher) Expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.published.Load() == nil {
		return
	}
	before := p.current.Load().access
	joined := p.join(p.now())
	// If reports no longer count by the published policy, they count by the next one, which is on its way.
	if p.admitted.CompareAndSwap(before, joined.access) {
		p.proxies.Admit()
	}
	p.show(p.withEjected(joined))
}

// join returns the published policy joined by the upstreams that still depart, and sets the alarm for the next departure. The
// caller holds p.mu.
func (p *Publisher) join(now time.Time) *Publication {
	current := p.current.Load()
	late := sync.OnceValue(func() bool { return current != nil && p.proxies.Late(current, now) })
	published := p.published.Load()
	if p.departing = remaining(p.departing, now, late); len(p.departing) == 0 {
		return published
	}
	p.alarm.Reset(nextLook(p.departing, now))
	joined, err := p.prepare(published.set, p.departing)
	if err != nil {
		p.log.Error("calls on their way to a fallback that is no more will not reach it", "error", err.Error())
		return published
	}
	return joined
}

// show sends next to all proxies. The caller holds p.mu.
func (p *Publisher) show(next *Publication) {
	p.current.Store(next)
	p.proxies.Wake()
}

// Forget drops the resources for a view that no proxy has any longer.
func (p *Publisher) Forget(view string) {
	for _, kept := range []*Publication{p.current.Load(), p.published.Load()} {
		if kept != nil {
			kept.forget(view)
		}
	}
}
