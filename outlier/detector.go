package outlier

import (
	"net/netip"
	"slices"
	"strings"
	"sync"

	"breakwater.dev/instant"
)

// Instant is a point on the monotonic clock that the caller keeps; see [instant.Instant].
type Instant = instant.Instant

// Class is the meaning of a call for the endpoint that it was sent to.
type Class uint8

// The classes.
const (
	Success      Class = iota
	ServerError        // a response 5xx, but no gateway error
	GatewayError       // a response 502, 503 or 504
	LocalOrigin        // no response: the proxy could not connect, the time was over, or the connection broke
)

// ClassOf returns the class of a response by its HTTP status, as Envoy's detection has it.
func ClassOf(status int) Class {
	switch {
	case 502 <= status && status <= 504:
		return GatewayError
	case status >= 500:
		return ServerError
	default:
		return Success
	}
}

// Outcome is the outcome of one call at an endpoint, or of several that succeeded.
type Outcome struct {
	Endpoint netip.AddrPort
	Class    Class
	At       Instant // when the call ended
	// Calls is how many calls the outcome stands for, at least 1. It is above 1 for
	// successes only.
	Calls uint32
	// OneIn says how successes were sampled at that time: one in OneIn was reported. At 0
	// and 1 every success was.
	OneIn uint32
}

// Upstream is an upstream whose endpoints are judged.
type Upstream struct {
	Name      string
	Config    Config
	Endpoints []netip.AddrPort
}

// Detector judges the endpoints of upstreams by what all proxies report about them. It is
// safe for concurrent use.
type Detector struct {
	listen func(Event)

	mu        sync.Mutex // guards the fields below it
	upstreams map[string]*pool

	delivering sync.Mutex // held while listen is called, so that events stay in order
	pending    []Event
}

// NewDetector returns a detector without upstreams. It calls listen for every event, one
// at a time and in order. listen may call [Detector.Ejected] and [Detector.Snapshot]
// only: the other methods of the detector wait until listen has returned.
func NewDetector(listen func(Event)) *Detector {
	return &Detector{listen: listen, upstreams: map[string]*pool{}}
}

// Apply makes upstreams the ones that are judged. An endpoint that is out stays out, if
// its upstream still has it. Where the Config of an upstream has changed, the
// judgement of its endpoints begins again.
func (d *Detector) Apply(upstreams []Upstream, now Instant) {
	d.mu.Lock()
	old := d.upstreams
	d.upstreams = make(map[string]*pool, len(upstreams))
	for _, u := range upstreams {
		p := old[u.Name]
		if p == nil {
			p = &pool{name: u.Name, endpoints: map[netip.AddrPort]*endpoint{}, next: now.Add(u.Config.Interval)}
		}
		p.configure(u, now)
		d.upstreams[u.Name] = p
	}
	d.mu.Unlock()
	d.deliver()
}

// Report takes the outcomes of calls, in any order, and sorts them by their time. Outcomes
// at endpoints that the upstream does not have are left out.
func (d *Detector) Report(upstream string, outcomes []Outcome, now Instant) {
	slices.SortStableFunc(outcomes, func(x, y Outcome) int { return int(min(max(x.At-y.At, -1), 1)) })
	d.mu.Lock()
	if p := d.upstreams[upstream]; p != nil {
		for i := range outcomes {
			p.report(&outcomes[i], now)
		}
		d.take(p)
	}
	d.mu.Unlock()
	d.deliver()
}

// Sweep ends the intervals that are over at now, and returns when the next one ends; ok is
// false where no upstream is judged.
func (d *Detector) Sweep(now Instant) (next Instant, ok bool) {
	d.mu.Lock()
	for _, p := range d.upstreams {
		if now >= p.next {
			p.sweep(now)
			d.take(p)
		}
		if !ok || p.next < next {
			next, ok = p.next, true
		}
	}
	d.mu.Unlock()
	d.deliver()
	return next, ok
}

// Ejected returns the endpoints of an upstream that are out of rotation, sorted.
func (d *Detector) Ejected(upstream string) []netip.AddrPort {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.upstreams[upstream]; p != nil {
		return p.ejected()
	}
	return nil
}

// Status describes the endpoints of an upstream.
type Status struct {
	Upstream  string
	Endpoints int // how many there are, including those that are ejected
	Ejected   []netip.AddrPort
	// Ejections is how often each rule has ejected an endpoint since the upstream was first
	// judged. Every rule that is on has an entry.
	Ejections map[Rule]uint64
	Detected  uint64 // how often a rule found an endpoint that was not ejected
}

// Snapshot returns the status of every upstream, by name.
func (d *Detector) Snapshot() []Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]Status, 0, len(d.upstreams))
	for _, p := range d.upstreams {
		s := Status{
			Upstream: p.name, Endpoints: len(p.endpoints), Ejected: p.ejected(),
			Ejections: map[Rule]uint64{}, Detected: p.detected,
		}
		for r := range ruleCount {
			if p.config.on(r) || p.ejections[r] > 0 {
				s.Ejections[r] = p.ejections[r]
			}
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(x, y Status) int { return strings.Compare(x.Upstream, y.Upstream) })
	return all
}

// take adds the events of p to those that will be delivered.
func (d *Detector) take(p *pool) {
	d.pending = append(d.pending, p.events...)
	p.events = nil
}

// deliver calls listen for the events that are waiting, in the order in which they happened.
func (d *Detector) deliver() {
	d.delivering.Lock()
	defer d.delivering.Unlock()
	d.mu.Lock()
	events := d.pending
	d.pending = nil
	d.mu.Unlock()
	for _, e := range events {
		d.listen(e)
	}
}
