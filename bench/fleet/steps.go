package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"breakwater.dev/bench/fleet/internal/bootstrap"
	"breakwater.dev/bench/fleet/internal/expect"
	"breakwater.dev/bench/fleet/internal/fleet"
	"breakwater.dev/bench/fleet/internal/linear"
	"breakwater.dev/bench/fleet/internal/mesh"
	"breakwater.dev/bench/fleet/internal/xdswire"
	"breakwater.dev/bench/internal/process"
	"breakwater.dev/breaker"
	"breakwater.dev/wire"
)

// Names of the steps.
const (
	firstSync  = "first sync"
	endpoint   = "one endpoint changes"
	timeout    = "one timeout changes"
	added      = "an upstream added"
	removed    = "an upstream removed"
	touched    = "a file touched, with nothing new"
	killed     = "killed and started again"
	killedOpen = "killed and started again while they are open"
	idle       = "nothing happens, for a second"
	opens      = "one breaker opens"
	opensMany  = "%d breakers open at once"
	opensMore  = "one more opens"
	heartbeats = "heartbeats while they are open, for a second"
)

func afterKill(step string) string { return endpoint + ", after that: " + step }

// most is how many breakers open at once.
const most = 1_000

// session measures one control plane in one configuration.
type session struct {
	*trial
	options options
	config  config
	control *control
	mesh    *mesh.Mesh
	logs    map[int]*fleet.Log // by proxy
	callers map[int][]int      // by upstream: the proxies that list it; nil: all proxies get all upstreams
	port    int                // the next port of the endpoint that changes

	capture   capture
	recording *recording
}

// measureControl runs all steps with one control plane.
func measureControl(ctx context.Context, o options, name, binary string, c config) (r *result, err error) {
	control, err := newControl(ctx, binary, o.memory)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, control.close()) }()
	s := &session{options: o, config: c, control: control, logs: map[int]*fleet.Log{}, port: 9001}
	if s.mesh, err = mesh.New(control.policies(), c.upstreams); err != nil {
		return nil, err
	}
	o.say("%s, %s: start", name, c)
	begin := time.Now()
	if err := control.start(); err != nil {
		return nil, err
	}
	r = &result{server: name, ready: time.Since(begin).Seconds()}
	cpu, err := control.process.CPU()
	if err != nil {
		return nil, err
	}
	r.load = cpu.Seconds()
	o.say("%s: ready after %.2f s, %.2f s of CPU", name, r.ready, r.load)
	text, err := control.bootstrap()
	if err != nil {
		return nil, err
	}
	bootstrap, err := bootstrap.Parse(text)
	if err != nil {
		return nil, err
	}
	s.recording = &recording{bootstrap: bootstrap, changes: map[string][]linear.Resource{}, expected: map[string]*expect.Change{}}
	f, err := fleet.New(s.fleetOptions(bootstrap))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	defer func() {
		for _, l := range s.logs {
			l.Close()
		}
	}()
	s.trial = &trial{ctx: ctx, say: o.say, name: name, process: control.process, fleet: f, proxies: s.proxies()}
	if err := s.steps(); err != nil {
		return nil, fmt.Errorf("%s, %s: %w (%s)", name, c, err, f.Problem())
	}
	r.recording = s.recording
	return r, s.result(r)
}

// proxies returns how many simulated proxies there are. Where there are to be none, a proxy with a list of one upstream still
// shows when a reload is over.
func (s *session) proxies() int { return max(s.config.proxies, 1) }

func (s *session) fleetOptions(b *bootstrap.Bootstrap) fleet.Options {
	o := fleet.Options{Address: s.control.xds, Bootstrap: b, Proxies: s.proxies(), Variant: s.config.variant}
	if s.config.isPlain() {
		o.Received = s.capture.received
	}
	list := s.config.list
	if s.config.proxies == 0 {
		list = 1
	}
	if list == 0 {
		return o
	}
	lists := make([][]string, s.proxies())
	s.callers = map[int][]int{}
	for i := range lists {
		for n := range list {
			u := (i*list + n) % s.config.upstreams
			lists[i] = append(lists[i], mesh.Name(u))
			s.callers[u] = append(s.callers[u], i)
		}
	}
	for i := range min(4, len(lists)) { // they call the upstream that is added
		lists[i] = append(lists[i], mesh.Name(s.config.upstreams))
		s.callers[s.config.upstreams] = append(s.callers[s.config.upstreams], i)
	}
	o.Upstreams = func(i int) []string { return lists[i] }
	return o
}

// isPlain reports whether the configuration is one that the linear caches can serve too.
func (c config) isPlain() bool { return c.proxies > 0 && c.list == 0 && c.sotw+c.slow+c.refusing == 0 }

const slowness = 200 * time.Millisecond

// variant returns the variant of proxy i. The first proxy is an ordinary one, if there is any.
func (c config) variant(i int) fleet.Variant {
	last := max(c.proxies, 1) - 1 - i
	switch {
	case last < c.sotw:
		return fleet.Variant{Sotw: true}
	case last < c.sotw+c.slow:
		return fleet.Variant{Delay: slowness}
	case last < c.sotw+c.slow+c.refusing:
		return fleet.Variant{Refuse: mesh.Name(3)}
	}
	return fleet.Variant{}
}

// want returns an expectation of the proxies that call an upstream.
func (s *session) want(upstream int, parts ...expect.Part) *expect.Change {
	e := &expect.Change{Parts: parts}
	if s.callers != nil {
		concerned := map[int]bool{}
		for _, i := range s.callers[upstream] {
			concerned[i] = true
		}
		e.Wants = func(i int) (bool, []string) { return concerned[i], nil }
	}
	return e
}

// whole is how many upstreams a proxy has after the first sync.
func (s *session) whole(i int) int {
	switch {
	case s.config.proxies == 0:
		return 1
	case s.config.list > 0:
		return s.config.list
	case s.config.variant(i).Refuse != "":
		return s.config.upstreams - 1
	}
	return s.config.upstreams
}

// steps measures all steps.
func (s *session) steps() error {
	if err := s.first(s.whole); err != nil {
		return err
	}
	s.recording.first = apply(nil, s.capture.take())
	for _, part := range []func() error{s.changes, func() error { return s.killed(killed) }, s.breakers} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// recorded is step for a step that the linear caches repeat.
func (s *session) recorded(name string, e *expect.Change, change func() error) error {
	if _, err := s.step(name, e, change); err != nil {
		return err
	}
	s.recording.changes[name], s.recording.expected[name] = s.capture.take(), e
	return nil
}

// changes measures changes of the policy.
func (s *session) changes() error {
	if _, err := s.quiet(idle, s.options.idle); err != nil {
		return err
	}
	if err := s.endpoint(endpoint, s.port); err != nil {
		return err
	}
	const long = 4_321*time.Second + 123*time.Millisecond
	routes := expect.Either(expect.Has(xdswire.Route, "", mesh.TimeoutMark(long)), expect.Has(xdswire.VirtualHost, mesh.Name(0), mesh.TimeoutMark(long)))
	if err := s.recorded(timeout, s.want(0, routes), func() error { return s.mesh.SetTimeout(0, long) }); err != nil {
		return err
	}
	n := s.config.upstreams
	name := mesh.Name(n)
	if err := s.recorded(added, s.want(n,
		expect.Has(xdswire.Cluster, name, nil), expect.Has(xdswire.Endpoint, name, nil),
		expect.Either(expect.Has(xdswire.Route, "", []byte(name)), expect.Has(xdswire.VirtualHost, name, nil)),
	), func() error { _, err := s.mesh.Add(); return err }); err != nil {
		return err
	}
	if _, err := s.step(removed, s.want(n,
		expect.Gone(xdswire.Cluster, name),
		expect.Either(expect.Lacks(xdswire.Route, "", []byte(name)), expect.Gone(xdswire.VirtualHost, name)),
	), func() error { _, err := s.mesh.Remove(); return err }); err != nil {
		return err
	}
	return s.touch()
}

// endpoint measures the change of one endpoint.
func (s *session) endpoint(step string, port int) error {
	return s.recorded(step, s.want(0, expect.Has(xdswire.Endpoint, mesh.Name(0), mesh.PortMark(port))), func() error { return s.mesh.SetPort(0, port) })
}

// touch measures a file that is written again with the same content.
func (s *session) touch() error {
	if err := s.settle(); err != nil {
		return err
	}
	before, err := s.cpu()
	if err != nil {
		return err
	}
	counts := s.fleet.Counts()
	if err := s.mesh.Rewrite(0); err != nil {
		return err
	}
	if err := s.sleep(time.Second); err != nil { // until the control plane has noticed
		return err
	}
	_, err = s.finish(row{step: touched, seconds: nan}, before, counts)
	return err
}

// killed kills the control plane and starts it again, and changes an endpoint, which shows that all proxies are served.
func (s *session) killed(step string) error {
	if err := s.restart(step, func() (*process.Process, error) {
		err := s.control.start()
		return s.control.process, err
	}); err != nil {
		return err
	}
	s.port++
	return s.endpoint(afterKill(step), s.port)
}

// breakers measures breakers that open.
func (s *session) breakers() error {
	if s.config.proxies == 0 {
		return nil
	}
	if err := s.open(opens, []int{0}); err != nil {
		return err
	}
	s.fleet.Expect(&expect.Change{})
	if err := s.control.reset(mesh.Name(0)); err != nil {
		return err
	}
	var many []int
	for i := 1; i < min(most+1, s.config.upstreams-1); i++ {
		many = append(many, i)
	}
	if err := s.open(fmt.Sprintf(opensMany, len(many)), many); err != nil {
		return err
	}
	if err := s.open(opensMore, []int{s.config.upstreams - 1}); err != nil {
		return err
	}
	if _, err := s.quiet(heartbeats, s.options.beats); err != nil {
		return err
	}
	return s.killed(killedOpen)
}

// failures trips a breaker: its consecutiveFailures.
const failures = 5

// open trips breakers by the access logs of the proxies, each by one proxy that calls the upstream.
func (s *session) open(step string, upstreams []int) error {
	routes := map[int][]string{} // by proxy
	keys := map[int][]string{}   // by proxy, where proxies have lists
	var all []string
	for _, u := range upstreams {
		key := breaker.Key{Upstream: mesh.Name(u)}
		reporter := u % s.proxies()
		if s.callers != nil {
			reporter = s.callers[u][0]
			for _, i := range s.callers[u] {
				keys[i] = append(keys[i], string(wire.ShareKey(key, wire.RouteOpen)))
			}
		}
		routes[reporter] = append(routes[reporter], wire.RouteName(key, wire.RouteClosed))
		all = append(all, string(wire.ShareKey(key, wire.RouteOpen)))
	}
	for i := range routes {
		if s.logs[i] == nil {
			log, err := s.fleet.OpenLog(i)
			if err != nil {
				return err
			}
			s.logs[i] = log
		}
	}
	e := &expect.Change{Keys: all}
	if s.callers != nil {
		e.Wants = func(i int) (bool, []string) { return len(keys[i]) > 0, keys[i] }
	}
	_, err := s.step(step, e, func() error {
		for i, routes := range routes {
			if err := s.logs[i].Fail(routes, failures); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}
