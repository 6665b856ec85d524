package publisher

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/gate"
	"breakwater.dev/internal/lockorder"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
)

const (
	// samplingPeriod is how often the density of the proxies' logs is decided.
	samplingPeriod = time.Second
	// forgettingPeriod is how often proxies that are gone are forgotten.
	forgettingPeriod = time.Minute
)

// Breakers are those that gates are for. [breaker.Engine] has these methods.
type Breakers interface {
	Status(key breaker.Key, now breaker.Instant) (s breaker.Status, known bool)
	Snapshot(now breaker.Instant) []breaker.Status
	Report(key breaker.Key, outcomes []breaker.Reported, now breaker.Instant)
}

// Feed is what proxies report of their calls.
type Feed interface {
	// Sample decides how densely proxies are to log from now on, for each breaker that they log. It is called once a second.
	Sample(now breaker.Instant) map[breaker.Key]wire.Sampling
	// Rate returns how many calls per second a breaker has had of late; 0 if that is not known.
	Rate(key breaker.Key) float64
	// Links returns what a proxy has reported of its connections to an upstream.
	Links(upstream, node string) gate.Links
}

// Proxies are those that get the gates.
type Proxies interface {
	// Connected returns each connected proxy once.
	Connected() []gate.Node
	// PublishGates makes a set the gates of all proxies, at once. Decided is when the oldest transition was
	// made that led to it; zero: no transition did. After an error, proxies keep the gates that they have.
	PublishGates(set *gate.Set, decided time.Time) error
}

// Clock reads the clock of the breakers.
type Clock interface {
	Now() breaker.Instant
	Wall(breaker.Instant) time.Time
}

// Options are what a publisher needs. All are required.
type Options struct {
	Breakers Breakers
	Feed     Feed
	Proxies  Proxies
	Clock    Clock
	Log      *slog.Logger
}

// Publisher computes and publishes gates. Make one with [New], and run it with [Publisher.Run].
type Publisher struct {
	Options
	applied  applied
	policies chan change
	stopped  chan struct{}
	counts   atomic.Pointer[Counts]

	wake        chan struct{}                       // holds one
	mu          lockorder.Mutex[lockorder.GateLeaf] // guards transitions
	transitions []transition

	// What follows belongs to the goroutine of Run.
	table     *gate.Table
	filter    gate.LogFilter
	upstreams map[string]*policy.Upstream
	decided   time.Time // of the first change that is not published; zero: there is none
}

// transition is what matters of one here.
type transition struct {
	key  breaker.Key
	rate float64 // calls per second until then; 0: not known
	at   breaker.Instant
}

// change is a policy on its way to the goroutine of Run.
type change struct {
	set  *policy.Set
	done chan struct{} // closed when its gates are published
}

// Counts are how many gates there are, by kind. A gate for a single proxy counts as one.
type Counts struct {
	Open        int // reject all calls
	Probing     int // let a share of the calls ask for permits
	Ramping     int // reject a share of the calls
	Connections int // bound the connections to an upstream that speaks TCP
}

// New returns a publisher of no gates.
func New(o Options) *Publisher {
	p := &Publisher{
		Options: o, applied: applied{nodes: map[string]inForce{}}, policies: make(chan change), stopped: make(chan struct{}),
		wake: make(chan struct{}, 1), table: gate.NewTable(),
	}
	p.counts.Store(&Counts{})
	return p
}

// Observe takes in a transition. Its gates are published soon afterwards.
func (p *Publisher) Observe(t breaker.Transition) {
	one := transition{t.Key, p.Feed.Rate(t.Key), t.At}
	p.mu.Lock()
	p.transitions = append(p.transitions, one)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default: // it is to wake already
	}
}

// Apply takes on a policy, which the breakers have already, and returns when its gates are published. It needs [Publisher.Run].
func (p *Publisher) Apply(set *policy.Set) {
	c := change{set, make(chan struct{})}
	select {
	case p.policies <- c:
		<-c.done
	case <-p.stopped:
	}
}

// Applied takes in that a proxy applies gates from a time on; nil: none any more.
func (p *Publisher) Applied(node string, set *gate.Set, from breaker.Instant) {
	p.applied.set(node, set, from, p.Clock.Now())
}

// Counts returns how many gates there are now.
func (p *Publisher) Counts() Counts { return *p.counts.Load() }

// Run publishes gates until ctx is over.
func (p *Publisher) Run(ctx context.Context) {
	defer close(p.stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	sampling := time.NewTicker(samplingPeriod)
	defer sampling.Stop()
	forgetting := time.NewTicker(forgettingPeriod)
	defer forgetting.Stop()
	for {
		var applied chan struct{}
		select {
		case <-ctx.Done():
			return
		case c := <-p.policies:
			p.apply(c.set)
			applied = c.done
		case <-p.wake:
		case <-timer.C:
		case <-forgetting.C:
			p.applied.forget(ids(p.Proxies.Connected()), p.Clock.Now())
			continue
		case <-sampling.C:
			p.reportEstablished()
			if !p.sample() {
				continue
			}
		}
		next := p.publish()
		if applied != nil {
			close(applied)
		}
		timer.Reset(max(next.Sub(p.Clock.Now()), 0))
	}
}

func (p *Publisher) apply(set *policy.Set) {
	if p.table.Apply(set) {
		p.table.Adopt(p.Breakers.Snapshot(p.Clock.Now()))
	}
	p.filter, p.upstreams = gate.FilterFor(set), make(map[string]*policy.Upstream, len(set.Upstreams))
	for _, u := range set.Upstreams {
		p.upstreams[u.Name] = u
	}
}

// sample decides how densely proxies log from now on, and reports whether that is a change.
func (p *Publisher) sample() (changed bool) {
	for key, s := range p.Feed.Sample(p.Clock.Now()) {
		if p.table.SetSampling(key, s) {
			changed = true
		}
	}
	return changed
}

// reportEstablished reports to half-open breakers of connections those that have stayed up, as successes of probes.
func (p *Publisher) reportEstablished() {
	in := p.input()
	for key, n := range p.table.Established(in) {
		outcomes := make([]breaker.Reported, n)
		for i := range outcomes {
			outcomes[i] = breaker.Reported{Outcome: breaker.Success, At: in.Now, OneIn: 1, Probe: true}
		}
		p.Breakers.Report(key, outcomes, in.Now)
	}
}

// publish publishes the gates of now, and returns when time alone will change them.
func (p *Publisher) publish() (next breaker.Instant) {
	gates, next := p.table.Gates(p.input())
	if err := p.Proxies.PublishGates(gate.NewSet(gates, p.filter), p.decided); err != nil {
		p.Log.Error("the gates cannot be published; proxies keep those they have", "error", err.Error())
		return next
	}
	p.decided = time.Time{}
	p.counts.Store(count(gates))
	return next
}

// hear takes in the transitions since it was last called.
func (p *Publisher) hear() {
	p.mu.Lock()
	transitions := p.transitions
	p.transitions = nil
	p.mu.Unlock()
	for _, t := range transitions {
		if p.table.Watch(t.key, t.rate) && p.decided.IsZero() {
			p.decided = p.Clock.Wall(t.at)
		}
	}
}

// input is what the gates of now are computed from.
func (p *Publisher) input() *gate.Input {
	p.hear()
	in := &gate.Input{Now: p.Clock.Now()}
	var wanted []string
	for _, key := range p.table.Watched() {
		s, known := p.Breakers.Status(key, in.Now)
		if !known {
			continue
		}
		in.Statuses = append(in.Statuses, s)
		if p.table.NeedsProxies(&s) && !slices.Contains(wanted, key.Upstream) {
			wanted = append(wanted, key.Upstream)
		}
	}
	if len(wanted) > 0 {
		in.Proxies = p.proxies(wanted, in.Now)
	}
	return in
}

// proxies returns the proxies that reach each of the upstreams, with what they have reported.
func (p *Publisher) proxies(upstreams []string, now breaker.Instant) map[string][]gate.Proxy {
	connected := p.Proxies.Connected()
	left := p.applied.left(ids(connected), now)
	all := make(map[string][]gate.Proxy, len(upstreams))
	for _, name := range upstreams {
		u := p.upstreams[name]
		var reach []gate.Proxy
		for i := range connected {
			if n := &connected[i]; n.Calls(name) {
				one := p.proxy(name, n.ID)
				one.Barred = u != nil && !u.Admits(n.Workload)
				reach = append(reach, one)
			}
		}
		for _, id := range left {
			one := p.proxy(name, id)
			one.Left = true
			reach = append(reach, one)
		}
		all[name] = reach
	}
	return all
}

func (p *Publisher) proxy(upstream, node string) gate.Proxy {
	return gate.Proxy{Node: node, Links: p.Feed.Links(upstream, node), Applied: p.applied.of(node)}
}

func ids(nodes []gate.Node) map[string]bool {
	all := make(map[string]bool, len(nodes))
	for i := range nodes {
		all[nodes[i].ID] = true
	}
	return all
}

func count(gates []gate.Gate) *Counts {
	c := &Counts{}
	for i := range gates {
		switch g := &gates[i]; {
		case g.Connections != nil:
			c.Connections++
		case g.Probe:
			c.Probing++
		case g.Open == wire.Million:
			c.Open++
		case g.Open > 0:
			c.Ramping++
		}
	}
	return c
}
