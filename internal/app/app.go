package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"breakwater.dev/breaker"
	"breakwater.dev/extproc"
	"breakwater.dev/feed"
	"breakwater.dev/gate/publisher"
	"breakwater.dev/internal/driver"
	"breakwater.dev/internal/guard"
	"breakwater.dev/internal/handshakes"
	"breakwater.dev/internal/httpapi"
	"breakwater.dev/internal/replicas"
	"breakwater.dev/metrics"
	"breakwater.dev/policy"
	"breakwater.dev/sources/files"
	"breakwater.dev/store"
	"breakwater.dev/xds/discovery"
)

// Options configure a control plane.
type Options struct {
	Policy     []string // files and directories, which are watched
	XDSListen  string   // host:port of the port for proxies: xDS, ext_proc and access logs
	HTTPListen string   // host:port of the HTTP port: metrics, health checks, pages and changes by hand
	Insecure   bool     // allows plain text to proxies on other hosts
	TLS        TLS
	// NodeIdentity are the rules that say which node a certificate belongs to, see [guard.ParseRules]. Without
	// rules, a proxy with any certificate may claim to be any node.
	NodeIdentity []string
	// ProxyMemory is how many MiB all proxies together may use, by estimate; 0: two fifths of GOMEMLIMIT, or
	// [guard.DefaultMemory] if GOMEMLIMIT is not set.
	ProxyMemory int
	HTTP        HTTP
	// AdminToken returns the token that a change by hand needs. It is called for each change. If it is nil or
	// returns "", changes by hand are refused.
	AdminToken func() (string, error)
	// StateDir is the directory that keeps the states of breakers over a restart; "": they are not kept.
	StateDir string
	// GateTTL is how long a proxy applies its gates without contact to this control plane; 0: 15 s.
	GateTTL time.Duration
	// DrainTimeout is how long a shutdown waits for requests in flight.
	DrainTimeout time.Duration
	Version      string
	// Instance is the name of this control plane among others.
	Instance string
	Log      *slog.Logger
	// Replicas say how this control plane shares its breakers with others.
	Replicas replicas.Config
	// Started, if set, is called with the addresses of the two ports, once both are open.
	Started func(xds, http net.Addr)
}

// app is a running control plane. [newApp] makes its parts, each one after the parts that it calls:
//
//	driver    calls no other part. It has the engine and the clock, and gives transitions to the observers.
//	xds       calls feed and gates when a proxy applies gates, which no proxy does before serve.
//	outliers  reads the clock, and has xds send ejections.
//	metrics   reads the engine, the clock and outliers.
//	extproc   asks the engine, and gives durations to metrics.
//	feed      reports to the engine and to outliers, and gives durations to metrics.
//	gates     reads the engine and feed, and has xds send gates.
//	api       reads the engine, metrics, xds and outliers, and changes the engine by hand.
//
// [Run] then starts them in an order in which everything that can fail comes before the first proxy:
//
//  1. the publisher of gates, which must run when a policy is applied;
//  2. the first load of the policy, see steps;
//  3. the restoration of saved states, which needs the breakers of the policy in the engine;
//  4. the two servers and their ports;
//  5. in serve: the servers, the watcher of the policy, and the goroutines of guard, driver, outliers and keeper.
type app struct {
	// newApp sets these fields. They never change, and any goroutine may use them.
	options    Options
	log        *slog.Logger
	driver     *driver.Driver
	clock      driver.Clock    // the driver's clock
	engine     *breaker.Engine // the driver's engine
	breakers   breakers        // all breakers, of this process or shared
	replicas   *replicas.Group // nil: there are no others
	xds        *discovery.Server
	extproc    *extproc.Server
	feed       *feed.Server
	gates      *publisher.Publisher
	outliers   *outliers
	guard      *guard.Guard
	metrics    *metrics.Metrics
	api        *httpapi.API
	handshakes *handshakes.Failures
	// workloadsBound means that certificates decide which workload a proxy belongs to.
	workloadsBound bool

	// keeper saves the states of breakers; nil: they are not saved. The goroutine of Run sets it, before it starts
	// any goroutine that reads it.
	keeper *store.Keeper

	// current is the policy in force, or, during a reload, the one on its way. The goroutine that reloads writes it, and any goroutine may read it.
	current atomic.Pointer[policy.Set]
	// stopping means that a shutdown has begun. The goroutine of Run writes it, and any goroutine may read it.
	stopping atomic.Bool
	// drained means that all streams of proxies have ended, and that no new one can begin. The goroutine of Run writes
	// it, and the keeper's goroutine reads it.
	drained atomic.Bool

	// Only the goroutine that reloads uses the fields below: first it is the goroutine of Run, then the watcher's.

	// loader loads the policy.
	loader *files.Loader
	// warnedUnbound means that the warning of warnUnbound is in the log.
	warnedUnbound bool
	// lastRefusal has the problems of the last load; "": it was not refused.
	lastRefusal string
}

// Run starts a control plane, serves until ctx ends, and then drains and returns nil. It returns an error if the control
// plane cannot start, such as for a policy with problems ([policy.Diagnostics]), a port that is in use, or certificates
// that cannot be loaded.
func Run(ctx context.Context, o Options) error {
	defaults, diagnostics := policy.DefaultsFromEnv(os.LookupEnv)
	if len(diagnostics) > 0 {
		return diagnostics
	}
	rules, err := guard.ParseRules(o.NodeIdentity)
	if err != nil {
		return fmt.Errorf("--node-identity: %w", err)
	}
	a, err := newApp(o, defaults, rules)
	if err != nil {
		return err
	}
	defer a.publishGates(ctx)()
	if err := a.reload(); err != nil {
		return err
	}
	closeState, err := a.restore()
	if err != nil {
		return err
	}
	defer closeState()
	server, closeTLS, err := a.grpcServer()
	if err != nil {
		return err
	}
	defer closeTLS()
	web, closeWeb, err := a.httpServer()
	if err != nil {
		return err
	}
	defer closeWeb()
	xdsListener, err := listen("proxies", o.XDSListen)
	if err != nil {
		return err
	}
	httpListener, err := listen("HTTP", o.HTTPListen)
	if err != nil {
		return errors.Join(err, xdsListener.Close())
	}
	if a.replicas != nil {
		defer a.replicas.Close()
	}
	a.announce()
	if o.Started != nil {
		o.Started(xdsListener.Addr(), httpListener.Addr())
	}
	a.log.Info("serving", "version", o.Version, "xds", xdsListener.Addr().String(), "http", httpListener.Addr().String())
	return a.serve(ctx, servers{server, xdsListener, web, httpListener})
}

// publishGates runs the publisher of gates until the caller calls stop. It is called before the first policy is applied,
// and stop is called after the last one.
func (a *app) publishGates(ctx context.Context) (stop func()) {
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { a.gates.Run(background) })
	return func() {
		cancel()
		running.Wait()
	}
}

// servers are the two servers of the process, each with its port.
type servers struct {
	grpc         *grpc.Server
	xdsListener  net.Listener
	http         *http.Server
	httpListener net.Listener
}

// newApp makes all parts. None of them runs yet. Nil rules bind no proxy to its certificate.
func newApp(o Options, defaults policy.Defaults, rules *guard.Rules) (*app, error) {
	a := &app{options: o, log: o.Log, loader: files.NewLoader(o.Policy, defaults), workloadsBound: rules.BindWorkloads(), handshakes: handshakes.New(o.Log, time.Now)}
	a.guard = guard.New(guard.Options{Rules: rules, Memory: proxyMemory(o.ProxyMemory), Connections: connectionLimits().xds, Log: o.Log})
	a.driver = driver.New()
	a.clock, a.engine = a.driver.Clock, a.driver.Engine
	var counted metrics.Engine = a.engine
	if a.breakers = a.engine.Decider(); o.Replicas.Enabled() {
		var err error
		if a.replicas, err = a.joinReplicas(); err != nil {
			return nil, err
		}
		a.breakers, counted = a.replicas.Router, a.replicas.Router.Local()
	}
	propagation := newPropagation()
	a.xds = discovery.NewServer(discovery.Options{
		Log: o.Log, Now: time.Now, TTL: o.GateTTL, Replicas: o.Replicas.Enabled(),
		Propagated: propagation.record, Applied: a.applied,
	})
	a.outliers = newOutliers(a.clock, a.xds, o.Log)
	a.metrics = metrics.New(metrics.Options{Version: o.Version, Engine: counted, Clock: a.clock, Outliers: a.outliers.detector, Log: o.Log})
	process := rand.Uint32()
	if a.replicas != nil {
		process = a.options.Replicas.Process() // a probe's log may come to another replica than the one that asked for its permit
	}
	a.extproc = extproc.NewServer(extproc.Options{
		Process:      process,
		Decider:      a.breakers,
		Now:          a.clock.Now,
		Observe:      func(key breaker.Key, d time.Duration) { a.metrics.ObserveCalls(key, d, 1) },
		ObserveTotal: func(key breaker.Key, d time.Duration) { a.metrics.ObserveWholeCalls(key, d, 1) },
	})
	a.feed = feed.NewServer(feed.Options{
		Decider: a.breakers,
		Process: process, Now: a.clock.Now, Answered: a.metrics.ObserveAnswered,
		Observe: func(key breaker.Key, took, lasted time.Duration, n uint64) {
			a.metrics.ObserveCalls(key, took, n)
			a.metrics.ObserveWholeCalls(key, lasted, n)
		},
		Endpoints: a.outliers.report, Log: o.Log,
		LogAll: a.logAll, Shared: a.replicas != nil,
	})
	var logs publisher.Feed = a.feed
	if a.replicas != nil {
		logs = sharedFeed{a.feed, a.replicas.Router}
	}
	a.gates = publisher.New(publisher.Options{Breakers: a.breakers, Feed: logs, Proxies: a.xds, Clock: a.clock, Log: o.Log})
	a.api = httpapi.New(a.apiOptions())
	a.metrics.Register(propagation, a.xds, a.extproc, a.feed, a.gates, a.guard, a.handshakes, a.api)
	a.driver.Observe(a.firstObservers())
	return a, nil
}

// serve runs everything until ctx ends or a part fails. It then stops the parts in an order that harms no request: it
// first closes the configuration streams, which proxies can do without. Then the ext_proc streams of requests in flight
// end. The HTTP server stops last, so that operators can watch the shutdown.
func (a *app) serve(ctx context.Context, s servers) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	failed := make(chan error, 3)
	var running sync.WaitGroup
	run := func(activity string, f func() error) {
		running.Go(func() {
			if err := f(); err != nil {
				failed <- fmt.Errorf("%s: %w", activity, err)
			}
		})
	}
	door := a.guard.HTTPDoor(connectionLimits().http)
	s.http.ConnState = door.State
	run("serving proxies", func() error { return s.grpc.Serve(a.guard.Listen(s.xdsListener)) })
	run("serving HTTP", func() error { return serveHTTP(s.http, door.Listen(s.httpListener)) })
	run("watching the policy", func() error { return a.watch(background) })
	running.Go(func() { a.guard.Shed(background) })
	running.Go(func() { a.driver.Run(background) })
	running.Go(func() { a.outliers.run(background) })
	if a.keeper != nil {
		running.Go(func() { a.keeper.Run(background) })
	}
	leave := func() {}
	if a.replicas != nil {
		leave = a.replicas.Start()
	}

	var cause error
	select {
	case <-ctx.Done():
	case cause = <-failed:
	}
	a.stopping.Store(true)
	leave() // so that breakers are decided elsewhere while requests under way end here
	a.log.Info("stopping: waiting for requests under way", "at_most", a.options.DrainTimeout.String())
	a.drain(s.grpc)
	deadline, cancel := context.WithTimeout(background, a.options.DrainTimeout)
	defer cancel()
	a.stopHTTP(deadline, s.http)
	stop()
	running.Wait()
	a.log.Info("stopped")
	return cause
}

// drainLook is how often a shutdown looks whether requests are in flight. By the first look, proxies have been asked to begin
// no more streams here.
const drainLook = 20 * time.Millisecond

// drain ends the streams of proxies. It waits for requests in flight, for at most the drain timeout. It does not wait for
// the streams of access logs, which never end by themselves: a proxy goes on with its logs at another replica.
func (a *app) drain(server *grpc.Server) {
	a.xds.Close()
	done := make(chan struct{})
	go func() {
		server.GracefulStop()
		close(done)
	}()
	look := time.NewTicker(drainLook)
	defer look.Stop()
	for timeout := time.After(a.options.DrainTimeout); ; {
		select {
		case <-done:
			a.drained.Store(true)
			return
		case <-look.C:
			if a.extproc.Counts().Streams == 0 {
				server.Stop()
			}
		case <-timeout:
			a.log.Warn("some requests did not end in time; their proxies go on without the control plane")
			server.Stop()
			<-done
			return
		}
	}
}

// watch reloads the policy when its files change. It also reloads the policy once when it begins to watch, because the
// files may have changed since they were first read. That costs next to nothing if they have not.
func (a *app) watch(ctx context.Context) error {
	reload := func() {
		if err := a.reload(); err != nil {
			a.refused(err)
		}
	}
	return files.Watch(ctx, a.options.Policy, files.WatchOptions{}, reload, reload)
}

// listen opens a port. Its errors name the purpose of the port.
func listen(purpose, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen for %s on %s: %w", purpose, address, err)
	}
	return l, nil
}
