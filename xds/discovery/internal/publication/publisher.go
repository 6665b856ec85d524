package publication

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"breakwater.dev/endpoints"
	"breakwater.dev/internal/lockorder"
	"breakwater.dev/policy"
	"breakwater.dev/xds"
)

// Proxies are the proxies that are connected. The methods are safe for concurrent use. A [Publisher] may hold its lock when it
// calls them, so they must not call it.
type Proxies interface {
	// Late reports whether any proxy may still route calls by other routes than the publication's.
	Late(*Publication, time.Time) bool
	// Admit makes the proxies' reports count by [Publisher.Admitted] from now on.
	Admit()
	// Wake sends a publication, which is now [Publisher.Current], to the proxies for which it has another [Content] than they
	// have.
	Wake(*Publication)
}

// Alarm calls [Publisher.Expire] once, after the time of the last Reset. A [time.Timer] is an alarm.
type Alarm interface{ Reset(time.Duration) bool }

// Publisher has the publication that proxies get, and the endpoints. It replaces the publication by the next one, keeps
// departing upstreams for a while, and changes the endpoints of one upstream at a time.
type Publisher struct {
	proxies Proxies
	alarm   Alarm
	now     func() time.Time
	log     *slog.Logger

	// Views are the views of all proxies that are connected.
	Views Views
	xds   xds.Options

	current   atomic.Pointer[Publication] // proxies get this one; nil: nothing is published yet
	published atomic.Pointer[Publication] // the same without departing upstreams
	admitted  atomic.Pointer[Publication] // reports count by this one; nil: nothing is published yet

	mu        lockorder.Mutex[lockorder.DiscoveryPublisher] // serialises changes of current, and guards the fields below
	table     *endpoints.Table                              // the endpoints in current, and all ejections
	departing []departure
}

// Options connect a publisher with what is around it. All are required.
type Options struct {
	Proxies Proxies
	Alarm   Alarm
	XDS     xds.Options // for all publications
	Now     func() time.Time
	Log     *slog.Logger
}

// NewPublisher returns a publisher that has published nothing.
func NewPublisher(o Options) *Publisher {
	return &Publisher{proxies: o.Proxies, alarm: o.Alarm, xds: o.XDS, now: o.Now, log: o.Log, table: &endpoints.Table{}}
}

// Current returns the publication that proxies get; nil: nothing is published yet.
func (p *Publisher) Current() *Publication { return p.current.Load() }

// Admitted returns the publication that decides which reports of proxies count; nil: nothing is published yet.
func (p *Publisher) Admitted() *Publication { return p.admitted.Load() }

// Prepare translates a set, with the endpoints in table, for a default proxy and for every proxy that is connected. It
// changes nothing. A set or endpoints that cannot be translated are an error here. Ejections in table do not count: see
// [Publisher.Eject].
func (p *Publisher) Prepare(set *policy.Set, table *endpoints.Table) (*Publication, error) {
	p.mu.Lock()
	now := p.table
	p.mu.Unlock()
	return p.prepare(set, table.EjectAs(now), nil)
}

func (p *Publisher) prepare(set *policy.Set, table *endpoints.Table, departing []departure) (*Publication, error) {
	next := &Publication{set: set, joined: withDeparting(set, departing), table: table, xds: p.xds}
	for _, d := range departing {
		next.departing = append(next.departing, d.upstream.Name)
	}
	if err := next.make(p.Current(), p.Views.list()); err != nil {
		return nil, err
	}
	return next, nil
}

// Publish sends next to all proxies, joined by departing upstreams. The endpoints become the ones that next was prepared
// with, also where [Publisher.PublishEndpoints] has changed them since. Ejections stay. A publication is published once.
func (p *Publisher) Publish(next *Publication) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	var before *policy.Set
	if published := p.published.Load(); published != nil {
		before = published.set
	}
	p.departing = departures(before, p.departing, next.set, now)
	p.table = p.tableFor(next)
	if err := next.eject(p.table); err != nil { // this cannot be, since the endpoints were translated and validated before
		p.log.Error("endpoints cannot be ejected; proxies use all of them", "error", err.Error())
	}
	p.leave(now)
	p.published.Store(next)
	joined := p.join(now)
	p.Admit(joined)
	p.show(joined)
}

// Admit makes a proxy's reports count, from now on, only for the upstreams that next lets its workload call.
// [Publisher.Publish] does the same.
func (p *Publisher) Admit(next *Publication) {
	p.admitted.Store(next)
	p.proxies.Admit()
}

// Expire drops the departures that are over.
func (p *Publisher) Expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.published.Load() == nil {
		return
	}
	now, departed := p.now(), len(p.departing)
	if p.leave(now); len(p.departing) == departed {
		if departed > 0 {
			p.alarm.Reset(nextLook(p.departing, now))
		}
		return
	}
	before := p.current.Load()
	joined := p.join(now)
	// If reports no longer count by the published policy, they count by the next one, which is on its way.
	if p.admitted.CompareAndSwap(before, joined) {
		p.proxies.Admit()
	}
	p.show(joined)
}

// leave drops the departures that are over. The caller holds p.mu.
func (p *Publisher) leave(now time.Time) {
	current := p.current.Load()
	late := sync.OnceValue(func() bool { return current != nil && p.proxies.Late(current, now) })
	p.departing = remaining(p.departing, now, late)
}

// join returns the published policy joined by the upstreams that still depart, and sets the alarm for the next departure. The
// caller holds p.mu.
func (p *Publisher) join(now time.Time) *Publication {
	published := p.published.Load()
	if len(p.departing) == 0 {
		return published
	}
	p.alarm.Reset(nextLook(p.departing, now))
	joined, err := p.prepare(published.set, p.table, p.departing)
	if err != nil {
		p.log.Error("calls on their way to a fallback that is no more will not reach it", "error", err.Error())
		return published
	}
	return joined
}

// show sends next to all proxies. The caller holds p.mu.
func (p *Publisher) show(next *Publication) {
	p.current.Store(next)
	next.prune(&p.Views)
	p.proxies.Wake(next)
}

// Leave removes a stream from its view. With its last stream the content of the view is dropped.
func (p *Publisher) Leave(view *View) {
	if !p.Views.leave(view) {
		return
	}
	for _, kept := range p.kept() {
		kept.forget(view)
	}
}

// kept returns the current and the published publication: one or two, or none before the first.
func (p *Publisher) kept() []*Publication {
	current, published := p.current.Load(), p.published.Load()
	switch {
	case published == nil:
		return nil
	case current == nil || current == published:
		return []*Publication{published}
	}
	return []*Publication{current, published}
}
