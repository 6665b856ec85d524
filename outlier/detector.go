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

// Class is what one call says of the endpoint that served it.
type Class uint8

// The classes.
const (
	Success      Class = iota
	ServerError        // a response 5xx, but no gateway error
	GatewayError       // a response 502, 503 or 504
	LocalOrigin        // no response: the proxy could not connect, or waited too long, or the connection broke
)

// Outcome is what became of calls at one endpoint.
type Outcome struct {
	Endpoint netip.AddrPort
	Class    Class
	At       Instant // when the call ended
	// Calls is for how many calls it stands, at least 1; more only for successes.
	Calls uint32
	// OneIn is how the successes of that time were told of: one of so many. 0 and 1: all.
	OneIn uint32
}

// Upstream is one whose endpoints are judged.
type Upstream struct {
	Name      string
	Config    Config
	Endpoints []netip.AddrPort
}

// Detector judges the endpoints of upstreams by what all proxies tell of them. It is safe
// for concurrent use.
type Detector struct {
	listen func(Event)

	mu        sync.Mutex // guards what follows
	upstreams map[string]*pool

	delivering sync.Mutex // held while events are given to listen, so that they stay in order
	pending    []Event
}

// NewDetector returns a detector without upstreams. Listen is called for every event, one
// at a time and in order, with no lock held that the detector's methods need, but for
// those that have events: it must call none of them but [Detector.Ejected].
func NewDetector(listen func(Event)) *Detector {
	return &Detector{listen: listen, upstreams: map[string]*pool{}}
}

// Apply makes upstreams the ones that are judged. Endpoints that are out stay out, if
// their upstream and they are still there; one whose Config is another is judged anew.
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

// Report takes what became of calls, in any order; it sorts outcomes by their time. Endpoints
// that the upstream does not have are left out.
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

// Sweep does what is due at the end of intervals, and returns when the next one ends; ok is
// false where nothing is judged.
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

// Status is what there is to know of an upstream's endpoints.
type Status struct {
	Upstream  string
	Endpoints int // all, the ejected ones included
	Ejected   []netip.AddrPort
	// Ejections are those there were since the upstream came to be judged, by rule; every
	// rule that is on is there.
	Ejections map[Rule]uint64
	Detected  uint64 // endpoints that a rule found, and that were not ejected
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

// take has the events of p delivered.
func (d *Detector) take(p *pool) {
	d.pending = append(d.pending, p.events...)
	p.events = nil
}

// deliver gives events to the listener, in the order in which they came about.
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
