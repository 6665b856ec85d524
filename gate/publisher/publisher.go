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
	// samplingPeriod is how often the density of the proxies' access logs is decided.
	samplingPeriod = time.Second
	// forgettingPeriod is how often proxies that have left are removed.
	forgettingPeriod = time.Minute
)

// Breakers has the breakers for which gates are computed.
type Breakers interface {
	Status(key breaker.Key, now breaker.Instant) (s breaker.Status, known bool)
	Snapshot(now breaker.Instant) []breaker.Status
	// Report is the method of [breaker.Decider].
	Report(s breaker.Subject, outcomes []breaker.Reported, now breaker.Instant)
}

// Feed has the calls that proxies report.
type Feed interface {
	// Sample decides how densely proxies must log from now on, for each breaker that they log. It is called once a
	// second.
	Sample(now breaker.Instant) map[breaker.Key]wire.Sampling
	// Rate returns the recent number of calls per second of a breaker; 0: not known.
	Rate(key breaker.Key) float64
	// Links returns a proxy's connections to an upstream, as the proxy has reported them.
	Links(upstream, node string) gate.Links
}

// Proxies are the proxies that get the gates.
type Proxies interface {
	// Connected returns each connected proxy once.
	Connected() []gate.Node
	// PublishGates replaces the gates of all proxies. decided is the time of the oldest transition that is not
	// published yet; zero: there is none. After an error, proxies keep their gates.
	PublishGates(set *gate.Set, decided time.Time) error
}

// Clock reads the clock of the breakers.
type Clock interface {
	Now() breaker.Instant
	Wall(breaker.Instant) time.Time
}

// Options connect a publisher with the rest of the process. All are required.
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

	wake        chan struct{}                       // has room for one
	mu          lockorder.Mutex[lockorder.GateLeaf] // guards what follows
	transitions []transition
	exact       []breaker.Key // breakers whose calls must all be logged

	// The fields below are used only by the goroutine of Run.
	table   *gate.Table
	filter  gate.LogFilter
	set     *policy.Set // nil: none was applied
	decided time.Time   // the first transition that is not published; zero: there is none
}

// transition is the part of a breaker's transition that gates depend on.
type transition struct {
	key  breaker.Key
	rate float64 // calls per second before the transition; 0: not known
	at   breaker.Instant
}

// change is a policy on its way to the goroutine of Run.
type change struct {
	set  *policy.Set
	done chan struct{} // closed when its gates are published
}

// New returns a publisher without gates.
func New(o Options) *Publisher {
	p := &Publisher{
		Options: o, applied: applied{nodes: map[string]inForce{}}, policies: make(chan change), stopped: make(chan struct{}),
		wake: make(chan struct{}, 1), table: gate.NewTable(),
	}
	p.counts.Store(&Counts{})
	return p
}

// Observe records a transition, and returns at once. The gates that follow from it are published without delay, or together with
// others within [Pause] of the last ones.
func (p *Publisher) Observe(t breaker.Transition) {
	one := transition{t.Key, p.Feed.Rate(t.Key), t.At}
	p.mu.Lock()
	p.transitions = append(p.transitions, one)
	p.mu.Unlock()
	p.wakeUp()
}

// LogAll records that the feed needs all calls of a breaker from now on, and returns at once. The gates that say so to the
// proxies are published as soon as those that follow from a transition, and not with the next sampling. The key has no node.
func (p *Publisher) LogAll(key breaker.Key) {
	p.mu.Lock()
	p.exact = append(p.exact, key)
	p.mu.Unlock()
	p.wakeUp()
}

func (p *Publisher) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default: // Run is about to wake already
	}
}

// Apply replaces the policy, which the breakers have already, and returns when its gates are published. It waits for
// [Publisher.Run], which must be running or have ended.
func (p *Publisher) Apply(set *policy.Set) {
	c := change{set, make(chan struct{})}
	select {
	case p.policies <- c:
		<-c.done
	case <-p.stopped:
	}
}

// Applied records that a proxy applies gates from a time on. A time in the future is one at which it drops the others unless they are
// renewed. Nil means no gates, and from now on, that the proxy has connected without gates.
func (p *Publisher) Applied(node string, gates *gate.Mix, from breaker.Instant) {
	p.applied.set(node, gates, from, p.Clock.Now())
}

// Run publishes gates until ctx ends.
func (p *Publisher) Run(ctx context.Context) {
	defer close(p.stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	sampling := time.NewTicker(samplingPeriod)
	defer sampling.Stop()
	forgetting := time.NewTicker(forgettingPeriod)
	defer forgetting.Stop()
	var pace pace
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
			now := p.Clock.Now() // a proxy that connects from now on may not be in the list
			p.applied.forget(ids(p.Proxies.Connected()), now)
			continue
		case <-sampling.C:
			p.reportEstablished()
			if !p.sample() {
				continue
			}
		}
		if wait := pace.wait(p.Clock.Now()); wait > 0 && applied == nil {
			timer.Reset(wait) // the changes until then are published together
			continue
		}
		next := p.publish()
		if applied != nil {
			close(applied)
		}
		now := p.Clock.Now()
		pace.published(now)
		timer.Reset(max(next.Sub(now), 0))
	}
}

// apply replaces the policy, on the goroutine of Run.
func (p *Publisher) apply(set *policy.Set) {
	if p.table.Apply(set) {
		p.table.Adopt(p.Breakers.Snapshot(p.Clock.Now()))
	}
	p.filter, p.set = gate.FilterFor(set), set
}

// sample decides how densely proxies log from now on, and reports whether that changes the gates.
func (p *Publisher) sample() (changed bool) {
	for key, s := range p.Feed.Sample(p.Clock.Now()) {
		if p.table.SetSampling(key, s) {
			changed = true
		}
	}
	return changed
}

// reportEstablished reports connections that have stayed up to their half-open breakers, as successful probes.
func (p *Publisher) reportEstablished() {
	if p.watchTransitions(); !p.table.WatchesConnections() {
		return
	}
	in := p.input()
	for key, n := range p.table.Established(in) {
		outcomes := make([]breaker.Reported, n)
		for i := range outcomes {
			outcomes[i] = breaker.Reported{Outcome: breaker.Success, At: in.Now, OneIn: 1, Probe: true}
		}
		p.Breakers.Report(breaker.Subject{Key: key}, outcomes, in.Now)
	}
}

// publish publishes the current gates, and returns the time until which they are valid without a transition.
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

// watchTransitions passes the transitions since its last call to the table, and the breakers whose calls must all be logged.
func (p *Publisher) watchTransitions() {
	p.mu.Lock()
	transitions, exact := p.transitions, p.exact
	p.transitions, p.exact = nil, nil
	p.mu.Unlock()
	for _, key := range exact {
		p.table.LogAll(key)
	}
	for _, t := range transitions {
		if p.table.Watch(t.key, t.rate) && p.decided.IsZero() {
			p.decided = p.Clock.Wall(t.at)
		}
	}
}

// input returns the input from which the current gates are computed.
func (p *Publisher) input() *gate.Input {
	p.watchTransitions()
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

// proxies returns the proxies that call each of the upstreams, by the upstream's name.
func (p *Publisher) proxies(upstreams []string, now breaker.Instant) map[string][]gate.Proxy {
	connected := p.Proxies.Connected()
	left := p.applied.disconnected(ids(connected), now)
	all := make(map[string][]gate.Proxy, len(upstreams))
	for _, name := range upstreams {
		var u *policy.Upstream
		if p.set != nil {
			u = p.set.Upstream(name)
		}
		var reach []gate.Proxy
		for i := range connected {
			if n := &connected[i]; n.Calls(name) {
				one := p.proxy(name, n.ID, now)
				one.Barred = u != nil && !u.Admits(n.Workload)
				reach = append(reach, one)
			}
		}
		for _, id := range left {
			one := p.proxy(name, id, now)
			if one.Left = true; one.Gates.Has(breaker.Key{Upstream: name}) {
				reach = append(reach, one)
			}
		}
		all[name] = reach
	}
	return all
}

func (p *Publisher) proxy(upstream, node string, now breaker.Instant) gate.Proxy {
	return gate.Proxy{Node: node, Links: p.Feed.Links(upstream, node), Applied: p.applied.get(node, now)}
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
