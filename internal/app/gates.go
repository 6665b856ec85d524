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
	"breakwater.dev/wire"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery"
)

const (
	// samplingPeriod is how often it is decided how much proxies log.
	samplingPeriod = time.Second
	// forgettingPeriod is how often what proxies obey is forgotten that are gone.
	forgettingPeriod = time.Minute
)

// gatekeeper keeps what stands in proxies in step with the breakers.
type gatekeeper struct {
	app  *app
	wake chan struct{} // holds one

	mu        sync.Mutex // guards what follows
	board     *gates.Board
	logged    xds.Logged
	upstreams map[string]*policy.Upstream // by name
	decided   time.Time                   // of the first change that is not published; zero: there is none
	next      breaker.Instant             // when time alone changes the gates
	status    telemetry.GateStatus

	obeying obeying
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
	k.logged, k.upstreams = logged(set), xds.ByName(set)
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
	forgetting := time.NewTicker(forgettingPeriod)
	defer forgetting.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		case <-timer.C:
		case <-forgetting.C:
			k.obeying.forget(here(k.app.xds.Nodes()), k.app.clock.Now())
			continue
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
	holding := k.board.Holding(now, k.proxies())
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
	all, next := k.board.Gates(k.app.clock.Now(), k.proxies())
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

// here are the ids of proxies.
func here(nodes []discovery.Node) map[string]bool {
	ids := make(map[string]bool, len(nodes))
	for i := range nodes {
		ids[nodes[i].ID] = true
	}
	return ids
}

// proxies tells which proxies reach an upstream, with what they have told of their connections to it. Those
// that are connected are looked up once, when somebody asks. The caller holds k.mu as long as it asks.
func (k *gatekeeper) proxies() func(upstream string) []gates.Proxy {
	now := k.app.clock.Now()
	connected := sync.OnceValues(func() ([]discovery.Node, map[string]bool) {
		nodes := k.app.xds.Nodes()
		return nodes, here(nodes)
	})
	return func(upstream string) []gates.Proxy {
		var all []gates.Proxy
		add := func(node string) *gates.Proxy {
			links, obeys := k.app.feed.Links(upstream, node), k.obeying.read(node)
			all = append(all, gates.Proxy{
				Node: node, Connections: links.Connections, Connecting: links.Connecting, Called: links.Called, Refused: links.Refused,
				Admitted: links.Admitted, Pause: links.Pause, Obeys: obeys.gates, Told: obeys.told, Began: obeys.began,
			})
			return &all[len(all)-1]
		}
		u := k.upstreams[upstream]
		nodes, ids := connected()
		for i := range nodes {
			n := &nodes[i]
			again := i > 0 && nodes[i-1].ID == n.ID // it has a stream for its layer, too
			_, listed := slices.BinarySearch(n.Upstreams, upstream)
			if !again && (listed || n.Upstreams == nil) {
				add(n.ID).Barred = u != nil && !u.Admits(n.Cluster)
			}
		}
		for _, id := range k.obeying.left(ids, now) {
			add(id).Left = true
		}
		return all
	}
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
		case g.Open == wire.Million:
			s.Open++
		case g.Open > 0:
			s.Ramping++
		}
	}
	return s
}
