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
	"breakwater.dev/internal/httpapi"
	"breakwater.dev/metrics"
	"breakwater.dev/policy"
	"breakwater.dev/sources/files"
	"breakwater.dev/store"
	"breakwater.dev/xds/discovery"
)

// Options say what to run.
type Options struct {
	Policy     []string // files and directories; watched
	XDSListen  string   // host:port for proxies: xDS, ext_proc and access logs
	HTTPListen string   // host:port for people: metrics, health, state
	Insecure   bool     // allows plain text to proxies on other hosts
	TLS        TLS
	// NodeIdentity are the rules by which a proxy's certificate says who it is, see
	// [guard.ParseRules]; none: whoever has a certificate may claim to be any proxy.
	NodeIdentity []string
	// ProxyMemory is how many MiB proxies may hold here, by estimate; 0: two fifths of GOMEMLIMIT, or
	// [guard.DefaultMemory] where there is none.
	ProxyMemory int
	HTTP        HTTP
	// AdminToken returns the token that lets people change breakers by hand; it is
	// asked for each change. "", or a nil function: nobody may.
	AdminToken func() (string, error)
	// StateDir is where breakers are kept over a restart; "": they are not.
	StateDir string
	// GateTTL is for how long a proxy obeys without hearing from this control plane;
	// 0: 15 s.
	GateTTL time.Duration
	// DrainTimeout is how long a shutdown waits for requests that are under way.
	DrainTimeout time.Duration
	Version      string
	// Instance is the name by which people tell this control plane from others.
	Instance string
	Log      *slog.Logger
	// Started, if set, is called with the addresses that are listened on, once all is up.
	Started func(xds, http net.Addr)
}

// app is a control plane that is running.
type app struct {
	options    Options
	log        *slog.Logger
	driver     *driver.Driver
	clock      driver.Clock    // of driver
	engine     *breaker.Engine // of driver
	defaults   policy.Defaults
	keeper     *store.Keeper // nil where nothing is kept
	xds        *discovery.Server
	extproc    *extproc.Server
	feed       *feed.Server
	gates      *publisher.Publisher
	outliers   *outliers
	guard      *guard.Guard
	metrics    *metrics.Metrics
	api        *httpapi.API
	handshakes *handshakes
	current    atomic.Pointer[policy.Set]
	stopping   atomic.Bool
	drained    atomic.Bool // no request is under way any more, and none will be
	bound      bool        // by their certificates, to what proxies say their workload is
	told       bool        // that callers bind nobody; of the goroutine that reloads
	refusal    string      // the problems of the last load; of the goroutine that reloads
}

// Run starts a control plane and serves until ctx is over, then drains and
// returns nil. It returns an error when it cannot start: a policy with problems
// ([policy.Diagnostics]), an address that is taken, certificates that do not load.
func Run(ctx context.Context, o Options) error {
	defaults, diagnostics := policy.DefaultsFromEnv(os.LookupEnv)
	if len(diagnostics) > 0 {
		return diagnostics
	}
	rules, err := guard.ParseRules(o.NodeIdentity)
	if err != nil {
		return fmt.Errorf("--node-identity: %w", err)
	}
	a := newApp(o, defaults, rules)
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
	web, closeWeb, err := a.webServer()
	if err != nil {
		return err
	}
	defer closeWeb()
	proxies, err := listen("proxies", o.XDSListen)
	if err != nil {
		return err
	}
	people, err := listen("HTTP", o.HTTPListen)
	if err != nil {
		return errors.Join(err, proxies.Close())
	}
	a.announce()
	if o.Started != nil {
		o.Started(proxies.Addr(), people.Addr())
	}
	a.log.Info("serving", "version", o.Version, "xds", proxies.Addr().String(), "http", people.Addr().String())
	return a.serve(ctx, servers{server, proxies, web, people})
}

// publishGates publishes gates until stop is called. It has to run before the first policy is applied, and go on until
// nothing applies one any more.
func (a *app) publishGates(ctx context.Context) (stop func()) {
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { a.gates.Run(background) })
	return func() {
		cancel()
		running.Wait()
	}
}

// servers are what the process answers by.
type servers struct {
	grpc    *grpc.Server
	proxies net.Listener
	web     *http.Server
	people  net.Listener
}

func newApp(o Options, defaults policy.Defaults, rules *guard.Rules) *app {
	a := &app{options: o, log: o.Log, defaults: defaults, bound: rules.BindWorkloads(), handshakes: newHandshakes(o.Log, time.Now)}
	a.guard = guard.New(guard.Options{Rules: rules, Memory: proxyMemory(o.ProxyMemory), Connections: splitDescriptors().proxies, Log: o.Log})
	a.driver = driver.New()
	a.clock, a.engine = a.driver.Clock, a.driver.Engine
	propagation := newPropagation()
	a.xds = discovery.NewServer(discovery.Options{
		Log: o.Log, Now: time.Now, TTL: o.GateTTL,
		Propagated: propagation.took, Applied: a.applied,
	})
	a.outliers = newOutliers(a.clock, a.xds, o.Log)
	a.metrics = metrics.New(metrics.Options{Version: o.Version, Engine: a.engine, Clock: a.clock, Outliers: a.outliers.detector, Log: o.Log})
	process := rand.Uint32()
	a.extproc = extproc.NewServer(extproc.Options{
		Process:      process,
		Decider:      a.engine.Decider(),
		Now:          a.clock.Now,
		Observe:      func(key breaker.Key, d time.Duration) { a.metrics.ObserveCalls(key, d, 1) },
		ObserveTotal: func(key breaker.Key, d time.Duration) { a.metrics.ObserveWholeCalls(key, d, 1) },
	})
	a.feed = feed.NewServer(feed.Options{
		Decider: a.engine.Decider(),
		Process: process, Now: a.clock.Now, Answered: a.metrics.ObserveAnswered,
		Observe: func(key breaker.Key, took, lasted time.Duration, n uint64) {
			a.metrics.ObserveCalls(key, took, n)
			a.metrics.ObserveWholeCalls(key, lasted, n)
		},
		Endpoints: a.outliers.report, Log: o.Log,
	})
	a.gates = publisher.New(publisher.Options{Breakers: a.engine, Feed: a.feed, Proxies: a.xds, Clock: a.clock, Log: o.Log})
	a.api = httpapi.New(a.apiOptions())
	a.metrics.Register(propagation, a.xds, a.extproc, a.feed, a.gates, a.guard, a.handshakes, a.api)
	a.driver.Observe(a.observers())
	return a
}

// serve runs everything until ctx is over or a part fails, then stops in the order
// in which nobody is hurt: proxies first lose their configuration streams, which
// they can do without, then requests under way get their answers, and the
// page that tells about it goes last.
func (a *app) serve(ctx context.Context, s servers) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	failed := make(chan error, 3)
	var running sync.WaitGroup
	run := func(what string, f func() error) {
		running.Go(func() {
			if err := f(); err != nil {
				failed <- fmt.Errorf("%s: %w", what, err)
			}
		})
	}
	door := a.guard.HTTPDoor(splitDescriptors().people)
	s.web.ConnState = door.State
	run("serving proxies", func() error { return s.grpc.Serve(a.guard.Listen(s.proxies)) })
	run("serving HTTP", func() error { return serveWeb(s.web, door.Listen(s.people)) })
	run("watching the policy", func() error { return a.watch(background) })
	running.Go(func() { a.guard.Shed(background) })
	running.Go(func() { a.driver.Run(background) })
	running.Go(func() { a.outliers.run(background) })
	if a.keeper != nil {
		running.Go(func() { a.keeper.Run(background) })
	}

	var cause error
	select {
	case <-ctx.Done():
	case cause = <-failed:
	}
	a.stopping.Store(true)
	a.log.Info("stopping: waiting for requests under way", "at_most", a.options.DrainTimeout.String())
	a.drain(s.grpc)
	deadline, cancel := context.WithTimeout(background, a.options.DrainTimeout)
	defer cancel()
	a.stopWeb(deadline, s.web)
	stop()
	running.Wait()
	a.log.Info("stopped")
	return cause
}

// drain ends the streams of proxies, waiting for requests that are under way.
func (a *app) drain(server *grpc.Server) {
	a.xds.Close()
	done := make(chan struct{})
	go func() {
		server.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
		a.drained.Store(true)
	case <-time.After(a.options.DrainTimeout):
		a.log.Warn("some requests did not end in time; their proxies go on without the control plane")
		server.Stop()
		<-done
	}
}

// watch reloads the policy when its files change, and once when it begins to watch:
// they may have changed since they were first read.
func (a *app) watch(ctx context.Context) error {
	reload := func() {
		if err := a.reload(); err != nil {
			a.refused(err)
		}
	}
	return files.Watch(ctx, a.options.Policy, files.WatchOptions{}, reload, reload)
}

// listen names what an address is for when it cannot be had.
func listen(what, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen for %s on %s: %w", what, address, err)
	}
	return l, nil
}
