package replicas

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"breakwater.dev/breaker"
	"breakwater.dev/instant"
	"breakwater.dev/internal/driver"
	"breakwater.dev/membership"
	"breakwater.dev/membership/addresses"
	"breakwater.dev/peers"
	"breakwater.dev/peers/link"
	"breakwater.dev/store/shared"
)

// Config says how a control plane shares its breakers with others. The zero value means that there are no others.
type Config struct {
	// Store is the store that all replicas share. Without a URL there is none.
	Store shared.Options
	// Peers are the addresses of all replicas, in the place of a store. The states of breakers are in StateDir then.
	Peers addresses.Peers
	// Address is the host:port at which other replicas reach the port for proxies; "": the one at which it listens.
	Address string
	// ConnectionAge is how old the connections of proxies and of other replicas become, within 10 %, so that proxies spread over
	// replicas that start later. No request is lost by it. 0: they have no age.
	ConnectionAge time.Duration
}

// Enabled reports whether there may be other replicas.
func (r *Config) Enabled() bool { return r.Store.URL != "" || r.Peers.Given() }

// members is a source of the members.
type members interface {
	// Run keeps this replica a member until ctx ends.
	Run(ctx context.Context)
	// Leave ends its membership, while Run goes on.
	Leave(ctx context.Context)
}

// Options connect the replicas with the rest of the process. All are required except the certificates.
type Options struct {
	Config
	Name   string // for operators, such as the name of the pod
	Listen string // host:port of the port for proxies
	TLS    TLS
	Engine *breaker.Engine
	Clock  driver.Clock
	// Deliver, Changed, Suspect, Sampled and Flush have the meanings that they have in [peers.Options].
	Deliver func(t breaker.Transition, mirrored bool)
	Changed func(breaker.Key)
	Suspect func(breaker.Key)
	Sampled func()
	Flush   func()
	// Proxies is called about once a second, to tell others which proxies are connected to this replica.
	Proxies func()
	Log     *slog.Logger
}

// Group is this replica among the others. Make it with [New].
type Group struct {
	// Router has the breakers of all replicas.
	Router *peers.Router

	o       Options
	links   *link.Links
	members members
	store   *shared.Store  // nil: there is none
	saver   *shared.Keeper // nil: there is no store
	wake    chan struct{}  // has room for one
	moved   chan struct{}  // has room for one: there is another view
	ready   chan struct{}  // closed when this replica knows the breakers of others
	epoch   uint64         // the epoch in the last view; the source of the members calls one function at a time
	placed  time.Time      // when Proxies was last called; used by run only
}

// New makes the parts that share the breakers of this process. None of them runs yet.
func New(o Options) (*Group, error) {
	address, err := o.address(o.Listen)
	if err != nil {
		return nil, err
	}
	credentials, err := o.TLS.client()
	if err != nil {
		return nil, err
	}
	self := membership.Member{ID: nonce(), Address: address, Name: o.Name}
	r := &Group{o: o, wake: make(chan struct{}, 1), moved: make(chan struct{}, 1), ready: make(chan struct{})}
	var counted *addresses.Keeper
	r.links = link.New(link.Options{
		Self: self, Credentials: credentials, Admit: r.admit, Log: o.Log,
		Receive: func(from membership.Member, m *link.Message) { r.Router.Receive(from, m, r.o.Clock.Now()) },
		Membership: func(from membership.Member, message []byte) {
			if counted != nil {
				counted.Receive(from, message)
			}
		},
	})
	r.Router = peers.New(peers.Options{
		Self: self, Engine: o.Engine, Send: r.links.Send, Deliver: o.Deliver, Changed: o.Changed, Suspect: o.Suspect, Sampled: o.Sampled,
		Flush: o.Flush, Wake: func() { signal(r.wake) }, Log: o.Log, LeasesOnly: o.Peers.Given(),
	}, random())
	to := membership.KeeperOptions{
		Now: o.Clock.Now, Known: r.Router.Known, Nonce: nonce, Log: o.Log,
		View: func(result membership.Result, asked instant.Instant) { r.view(result, asked) },
	}
	if o.Peers.Given() {
		counted = addresses.NewKeeper(self, o.Peers, addresses.Options{KeeperOptions: to, Send: r.links.SendMembership})
		r.members = counted
		return r, nil
	}
	return r, r.share(self, to)
}

// share connects the replica with the store.
func (r *Group) share(self membership.Member, to membership.KeeperOptions) (err error) {
	if r.store, err = shared.Open(r.o.Store, r.o.Clock.Both, r.o.Log); err != nil {
		return fmt.Errorf("--store: %w", err)
	}
	r.members = membership.NewKeeper(self, r.store, to)
	r.saver = shared.NewKeeper(r.store, shared.Replica{
		ID: self.ID, Export: func() []breaker.Saved { return r.o.Engine.Export(r.o.Clock.Now()) },
		Ownership: func() shared.Ownership {
			epoch, owns := r.Router.Owned()
			return shared.Ownership{Epoch: epoch, Owns: owns}
		},
	}, r.o.Log)
	return nil
}

// view takes what the source of the members says.
func (r *Group) view(result membership.Result, asked instant.Instant) {
	r.Router.View(result.View, r.o.Clock.Now())
	if result.View.Epoch != r.epoch {
		r.epoch = result.View.Epoch
		signal(r.moved)
	}
	if result.Lease != 0 {
		r.Router.Lease(result.View.Epoch, asked, result.Lease, r.o.Clock.Now())
	}
}

// signal wakes the goroutine that reads from a channel with room for one.
func signal(to chan<- struct{}) {
	select {
	case to <- struct{}{}:
	default: // it is about to wake already
	}
}

// Load takes up the states that are in the store. It reports whether the store has answered.
func (r *Group) Load(ctx context.Context) bool {
	stored, err := r.store.Load(ctx)
	if err != nil {
		return false // the store's metrics and its keeper say so
	}
	states := make([]peers.Stored, len(stored))
	for i := range stored {
		states[i] = peers.Stored{Epoch: stored[i].Epoch, Saved: stored[i].Saved}
	}
	r.Router.Offer(states, r.o.Clock.Now())
	r.saver.Taken(stored)
	return true
}

// reload takes up the states in the store after each change of members: a breaker's owner may have died when only the store
// knew of its last change.
func (r *Group) reload(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.moved:
			r.Load(ctx)
		}
	}
}

// run shares the breakers until ctx ends.
func (r *Group) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	now := r.o.Clock.Now
	started := now()
	next := started
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
			if at := now(); at < next {
				next = min(next, r.Router.Flush(at))
				timer.Reset(max(next.Sub(now()), 0))
				continue
			}
		case <-timer.C:
		}
		next = r.Router.Tick(now())
		r.settle(started, now())
		if time.Since(r.placed) >= proxiesPeriod {
			r.placed = time.Now()
			r.o.Proxies()
		}
		timer.Reset(max(next.Sub(now()), 0))
	}
}

// proxiesPeriod is how often Options.Proxies is called.
const proxiesPeriod = time.Second

// settlePeriod is how long proxies wait at most until a new replica knows the breakers of the others.
const settlePeriod = 3 * time.Second

// settle lets proxies in when this replica knows the breakers of the others.
func (r *Group) settle(started, now breaker.Instant) {
	select {
	case <-r.ready:
		return
	default:
	}
	known := r.Router.Settled()
	if !known && now.Sub(started) < settlePeriod {
		return
	}
	if !known {
		r.o.Log.Warn("other replicas do not answer: this one begins with what it has")
	}
	close(r.ready)
}

// Await has the stream of a proxy wait until this replica knows the breakers of the others. It returns an error if the stream ends before.
// The streams of replicas do not wait.
func (r *Group) Await(stream context.Context, method string) error {
	if link.Serves(method) {
		return nil
	}
	select {
	case <-r.ready:
		return nil
	case <-stream.Done():
		return stream.Err()
	}
}

// leavePeriod is how long a shutdown waits for other replicas to take the breakers.
const leavePeriod = 3 * time.Second

// Start joins the other replicas. stop hands the breakers over to them, and ends everything but the connections.
func (r *Group) Start() (stop func()) {
	ticking, end := context.WithCancel(context.Background())
	var ticks sync.WaitGroup
	ticks.Go(func() { r.members.Run(ticking) })
	ticks.Go(func() { r.run(ticking) })
	if r.store != nil {
		ticks.Go(func() { r.reload(ticking) })
		ticks.Go(func() { r.saver.Run(ticking) })
	}
	return func() {
		deadline, cancel := context.WithTimeout(context.Background(), leavePeriod)
		defer cancel()
		r.members.Leave(deadline)
		r.Router.Leave(r.o.Clock.Now())
		for !r.Router.Left() && deadline.Err() == nil {
			select {
			case <-deadline.Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
		end()
		ticks.Wait()
	}
}

// Register adds the service for other replicas to a gRPC server.
func (r *Group) Register(s grpc.ServiceRegistrar) { r.links.Register(s) }

// HasStore reports whether the states of breakers are in a store.
func (r *Group) HasStore() bool { return r.store != nil }

// Notify says that a state has to be saved.
func (r *Group) Notify() {
	if r.saver != nil {
		r.saver.Notify()
	}
}

// Collectors returns the metrics of the group.
func (r *Group) Collectors() []prometheus.Collector {
	all := []prometheus.Collector{r.Router.Collector(r.o.Clock.Now)}
	if r.store != nil {
		all = append(all, r.saver, r.store)
	}
	return all
}

// Close ends the connections to other replicas and to the store.
func (r *Group) Close() {
	r.links.Close()
	if r.store != nil {
		_ = r.store.Close() // its connections end with the process anyway
	}
}

// Process identifies all replicas together, for readers of the ids of probes.
func (r *Config) Process() uint32 { return crc32.ChecksumIEEE([]byte(r.Store.Name)) }

// address returns the address at which other replicas reach this one.
func (r *Config) address(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("--xds-listen = %q; must be host:port", listen)
	}
	if r.Address != "" {
		if _, _, err := net.SplitHostPort(r.Address); err != nil {
			return "", fmt.Errorf("--replica-address = %q; must be host:port", r.Address)
		}
		return r.Address, nil
	}
	if port == "0" {
		return "", fmt.Errorf("--xds-listen = %q: other replicas need a port that is known; give one, or --replica-address", listen)
	}
	if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) {
		return listen, nil
	}
	return "", fmt.Errorf("--xds-listen = %q is all addresses of this host: say with --replica-address at which one other replicas reach it, such as $(POD_IP):%s", listen, port)
}

// nonce returns a random text.
func nonce() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, since Go 1.24
	return hex.EncodeToString(b[:])
}

func random() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, since Go 1.24
	return binary.BigEndian.Uint64(b[:]) >> 8
}
