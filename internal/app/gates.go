package app

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/feed"
	"breakwater.dev/internal/gates"
	"breakwater.dev/policy"
	"breakwater.dev/telemetry"
	"breakwater.dev/xds"
)

// samplingPeriod is how often it is decided how much proxies log.
const samplingPeriod = time.Second

// gatekeeper keeps what stands in proxies in step with the breakers.
type gatekeeper struct {
	app  *app
	wake chan struct{} // holds one

	mu      sync.Mutex // guards what follows
	board   *gates.Board
	logged  xds.Logged
	decided time.Time       // of the first change that is not published; zero: there is none
	next    breaker.Instant // when time alone changes the gates
	status  telemetry.GateStatus

	obeying obeying
}

// obeying is which gates are in force in proxies.
type obeying struct {
	mu    sync.Mutex
	nodes map[string]obeyed
}

// obeyed is what one proxy obeys.
type obeyed struct {
	gates *xds.Gates
	since breaker.Instant
	until breaker.Instant // when they fall away; 0: they have no time to live
}

// note takes on that gates are in force in a proxy from a time on; nil: none are any more.
func (o *obeying) note(node string, g *xds.Gates, from, now breaker.Instant) {
	o.mu.Lock()
	defer o.mu.Unlock()
	is := o.nodes[node]
	switch {
	case g != nil && g == is.gates: // it has heard of them again
		o.nodes[node] = obeyed{gates: g, since: is.since}
	case g != nil:
		o.nodes[node] = obeyed{gates: g, since: from}
	case from > now:
		is.until = from
		o.nodes[node] = is
	default:
		delete(o.nodes, node)
	}
}

// read returns what a proxy obeys now.
func (o *obeying) read(node string) obeyed {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.nodes[node]
}

// left returns the proxies that are not among those here, and obey gates still, and forgets the others.
func (o *obeying) left(here map[string]bool, now breaker.Instant) (nodes []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for node, is := range o.nodes {
		switch {
		case here[node]:
		case is.until > now:
			nodes = append(nodes, node)
		default:
			delete(o.nodes, node)
		}
	}
	return nodes
}

func newGatekeeper(a *app) *gatekeeper {
	return &gatekeeper{app: a, wake: make(chan struct{}, 1), board: gates.NewBoard(a.engine), obeying: obeying{nodes: map[string]obeyed{}}}
}

// changed hears of a transition. What follows from it is published by another goroutine.
func (k *gatekeeper) changed(t breaker.Transition) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.board.Changed(t.Key, k.app.feed.Traffic(t.Key)) {
		return
	}
	if k.decided.IsZero() {
		k.decided = k.app.clock.Wall(t.At)
	}
	select {
	case k.wake <- struct{}{}:
	default: // it is to wake already
	}
}

// apply takes on a policy, which the engine has already.
func (k *gatekeeper) apply(set *policy.Set) {
	k.mu.Lock()
	k.board.Apply(set, k.app.clock.Now())
	k.logged = logged(set)
	k.mu.Unlock()
	k.publish()
}

// read returns what people see.
func (k *gatekeeper) read() telemetry.GateStatus {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, rollouts := k.status, k.app.xds.Rollouts()
	s.Refused, s.Waiting = rollouts.Refused, rollouts.Waiting
	return s
}

// run publishes gates until ctx is over.
func (k *gatekeeper) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	sampling := time.NewTicker(samplingPeriod)
	defer sampling.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		case <-timer.C:
		case <-sampling.C:
			k.hold()
			if !k.sample() {
				continue
			}
		}
		timer.Reset(max(k.publish().Sub(k.app.clock.Now()), 0))
	}
}

// sample decides how much is logged from now on, and tells whether that is new.
func (k *gatekeeper) sample() (changed bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.app.feed.Sample(k.app.clock.Now()) {
		if k.board.Sample(s.Key, gates.Sample{OneIn: s.OneIn, RejectsOneIn: s.RejectsOneIn}) {
			changed = true
		}
	}
	return changed
}

// hold tells breakers in half-open of the connections that hold.
func (k *gatekeeper) hold() {
	now := k.app.clock.Now()
	k.mu.Lock()
	holding := k.board.Holding(now, k.app.proxies)
	k.mu.Unlock() // a report may bring about a transition
	for key, n := range holding {
		outcomes := make([]breaker.Reported, n)
		for i := range outcomes {
			outcomes[i] = breaker.Reported{Outcome: breaker.Success, At: now, OneIn: 1, Probe: true}
		}
		k.app.engine.Report(key, outcomes, now)
	}
}

// publish publishes the gates as they are now, and returns when they will change next.
func (k *gatekeeper) publish() breaker.Instant {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.publishLocked(); err != nil {
		k.app.log.Error("the gates cannot be published; proxies keep those they have", "error", err.Error())
	}
	return k.next
}

func (k *gatekeeper) publishLocked() error {
	all, next := k.board.Gates(k.app.clock.Now(), k.app.proxies)
	k.next = next
	published, err := k.logged.NewGates(all)
	if err != nil {
		return err
	}
	k.app.xds.PublishGates(published, k.decided)
	k.decided = time.Time{}
	k.status = gateStatus(all, published)
	return nil
}

// obeyed hears which gates stand in a proxy from a time on.
func (a *app) obeyed(node string, g *xds.Gates, at time.Time) {
	var sampling feed.Sampling // nil: without gates everything is logged
	if g != nil {
		sampling = g
	}
	now := a.clock.Now()
	from := now.Add(time.Until(at))
	a.feed.Obeyed(node, sampling, from)
	a.gates.obeying.note(node, g, from, now)
	if g == nil && from <= now { // it came without a layer
		a.feed.Began(node)
	}
}

func (a *app) feedStatus() telemetry.FeedStatus {
	c := a.feed.Counts()
	return telemetry.FeedStatus{
		Streams: uint64(c.Streams), Messages: c.Messages, Bytes: c.Bytes, Reported: c.Reported,
		Rejected: c.Rejected, Skipped: c.Skipped, Invalid: c.Invalid, Dropped: c.Dropped, Refused: c.Refused,
	}
}

// proxies are those that reach an upstream, with what they have told of their connections to it.
func (a *app) proxies(upstream string) []gates.Proxy {
	var all []gates.Proxy
	here := map[string]bool{}
	add := func(node string, left bool) {
		links, obeys := a.feed.Links(upstream, node), a.gates.obeying.read(node)
		all = append(all, gates.Proxy{
			Node: node, Connections: links.Connections, Connecting: links.Connecting, Called: links.Called, Refused: links.Refused,
			Admitted: links.Admitted, Pause: links.Pause, Obeys: obeys.gates, Since: obeys.since, Left: left,
		})
	}
	for _, n := range a.xds.Status() {
		id := n.Node.ID
		reaches := n.Node.Upstreams == nil || slices.Contains(n.Node.Upstreams, upstream)
		if !here[id] && reaches {
			add(id, false)
		}
		here[id] = true
	}
	for _, id := range a.gates.obeying.left(here, a.clock.Now()) {
		add(id, true)
	}
	return all
}

// logged is what proxies have to log so that nothing is missed that a breaker has to know: in
// the data path Adaptive all failures and slow calls, and in Inline what is not known at the
// headers of a response.
func logged(set *policy.Set) xds.Logged {
	l := xds.Logged{Status: http.StatusInternalServerError, Slow: breaker.MaxDuration}
	any := false
	for _, u := range set.Upstreams {
		for _, r := range u.Routes {
			if r.Breaker == nil || u.Protocol == policy.TCP {
				continue
			}
			any = true
			for status := uint32(100); r.Breaker.DataPath == policy.Adaptive && status < l.Status; status++ {
				if r.Breaker.Classify.HTTP(int(status)).Failed() {
					l.Status = status
				}
			}
			if slow := r.Breaker.Spec.Config.SlowCallDurationThreshold; slow > 0 {
				l.Slow = min(l.Slow, slow)
			}
			l.Gone = l.Gone || r.Breaker.Spec.ClientGone == breaker.GoneFailure
		}
	}
	if !any {
		return xds.Logged{}
	}
	return l
}

// gateStatus is what people see of the gates.
func gateStatus(all []xds.Gate, published *xds.Gates) telemetry.GateStatus {
	s := telemetry.GateStatus{LayerBytes: len(published.Layer("").Body.GetValue())}
	for _, g := range all {
		switch {
		case g.Connections != nil:
			s.Connections++
		case g.Probe:
			s.Probing++
		case g.Open == xds.Million:
			s.Open++
		case g.Open > 0:
			s.Ramping++
		}
	}
	return s
}
