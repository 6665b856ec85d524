package app

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

	"google.golang.org/grpc"

	"breakwater.dev/breaker"
	"breakwater.dev/instant"
	"breakwater.dev/membership"
	"breakwater.dev/membership/addresses"
	"breakwater.dev/peers"
	"breakwater.dev/peers/link"
	"breakwater.dev/store/shared"
)

// Replicas say how this control plane shares its breakers with others. The zero value means that there are no others.
type Replicas struct {
	// Store is the store that all replicas share. Without a URL there is none.
	Store shared.Options
	// Peers are the addresses of all replicas, in the place of a store. The states of breakers are in StateDir then.
	Peers addresses.Peers
	// Address is the host:port at which other replicas reach the port for proxies; "": the host that reaches the store, and the
	// port of XDSListen.
	Address string
}

// Enabled reports whether there may be other replicas.
func (r *Replicas) Enabled() bool { return r.Store.URL != "" || r.Peers.Given() }

// members is a source of the members.
type members interface {
	// Run keeps this replica a member until ctx ends.
	Run(ctx context.Context)
	// Leave ends its membership, while Run goes on.
	Leave(ctx context.Context)
}

// replicas are the parts of a control plane that shares its breakers.
type replicas struct {
	router  *peers.Router
	links   *link.Links
	members members
	store   *shared.Store  // nil: there is none
	saver   *shared.Keeper // nil: there is no store
	log     *slog.Logger
	wake    chan struct{} // has room for one
	moved   chan struct{} // has room for one: there is another view
	ready   chan struct{} // closed when this replica knows the breakers of others
	epoch   uint64        // of the last view; the source of the members calls one function at a time
	placed  time.Time     // when the feed last learned which proxies are here; used by run only
	place   func()        // tells the feed
}

// newReplicas makes the parts that share the breakers of this process. None of them runs yet.
func (a *app) newReplicas() (*replicas, error) {
	o := a.options.Replicas
	address, err := o.address(a.options.XDSListen)
	if err != nil {
		return nil, err
	}
	credentials, err := a.peerCredentials()
	if err != nil {
		return nil, err
	}
	self := membership.Member{ID: nonce(), Address: address, Name: a.options.Instance}
	r := &replicas{log: a.log, place: a.place, wake: make(chan struct{}, 1), moved: make(chan struct{}, 1), ready: make(chan struct{})}
	var counted *addresses.Keeper
	r.links = link.New(link.Options{
		Self: self, Credentials: credentials, Admit: a.admitPeer, Log: a.log,
		Receive: func(from membership.Member, m *link.Message) { r.router.Receive(from, m, a.clock.Now()) },
		Membership: func(from membership.Member, message []byte) {
			if counted != nil {
				counted.Receive(from, message)
			}
		},
	})
	r.router = peers.New(peers.Options{
		Self: self, Engine: a.engine, Send: r.links.Send, Deliver: a.observe, Log: a.log,
		Changed: func(key breaker.Key) { a.gates.Observe(breaker.Transition{Key: key, At: a.clock.Now()}) },
		Suspect: func(key breaker.Key) { a.feed.Suspect(key) },
		Flush:   a.driver.Deliver, Wake: r.wakeUp, LeasesOnly: o.Peers.Given(),
	}, random())
	to := membership.KeeperOptions{
		Now: a.clock.Now, Known: r.router.Known, Nonce: nonce, Log: a.log,
		View: func(result membership.Result, asked instant.Instant) { r.view(result, asked, a.clock.Now) },
	}
	if o.Peers.Given() {
		counted = addresses.NewKeeper(self, o.Peers, addresses.Options{KeeperOptions: to, Send: r.links.SendMembership})
		r.members = counted
		return r, nil
	}
	return r, a.share(r, self, to)
}

// share connects replicas with their store.
func (a *app) share(r *replicas, self membership.Member, to membership.KeeperOptions) (err error) {
	if r.store, err = shared.Open(a.options.Replicas.Store, a.clock.Both, a.log); err != nil {
		return fmt.Errorf("--store: %w", err)
	}
	r.members = membership.NewKeeper(self, r.store, to)
	r.saver = shared.NewKeeper(r.store, shared.Replica{
		ID: self.ID, Export: func() []breaker.Saved { return a.engine.Export(a.clock.Now()) },
		Ownership: func() shared.Ownership {
			epoch, owns := r.router.Owned()
			return shared.Ownership{Epoch: epoch, Owns: owns}
		},
	}, a.log)
	return nil
}

// view takes what the source of the members says.
func (r *replicas) view(result membership.Result, asked instant.Instant, now func() breaker.Instant) {
	r.router.View(result.View, now())
	if result.View.Epoch != r.epoch {
		r.epoch = result.View.Epoch
		signal(r.moved)
	}
	if result.Lease != 0 {
		r.router.Lease(result.View.Epoch, asked, result.Lease, now())
	}
}

func (r *replicas) wakeUp() { signal(r.wake) }

// signal wakes the goroutine that reads from a channel with room for one.
func signal(to chan<- struct{}) {
	select {
	case to <- struct{}{}:
	default: // it is about to wake already
	}
}

// load takes up the states that are in the store. It reports whether the store has answered.
func (r *replicas) load(ctx context.Context, now func() breaker.Instant) bool {
	stored, err := r.store.Load(ctx)
	if err != nil {
		return false // the store's metrics and its keeper say so
	}
	states := make([]peers.Stored, len(stored))
	for i := range stored {
		states[i] = peers.Stored{Epoch: stored[i].Epoch, Saved: stored[i].Saved}
	}
	r.router.Offer(states, now())
	r.saver.Taken(stored)
	return true
}

// reload takes up the states in the store after each change of members: a breaker's owner may have died when only the store
// knew of its last change.
func (r *replicas) reload(ctx context.Context, now func() breaker.Instant) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.moved:
			r.load(ctx, now)
		}
	}
}

// run shares the breakers until ctx ends.
func (r *replicas) run(ctx context.Context, now func() breaker.Instant) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	started := now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-timer.C:
		}
		next := r.router.Tick(now())
		r.settle(started, now())
		if time.Since(r.placed) >= placePeriod {
			r.placed = time.Now()
			r.place()
		}
		timer.Reset(max(next.Sub(now()), 0))
	}
}

// placePeriod is how often the feed learns which proxies get their layers from this replica.
const placePeriod = time.Second

// place tells the feed which proxies get their layers from this replica.
func (a *app) place() {
	here := map[string]bool{}
	for _, n := range a.xds.Connected() {
		here[n.ID] = true
	}
	a.feed.Here(here)
}

// settlePeriod is how long proxies wait at most until a new replica knows the breakers of the others.
const settlePeriod = 3 * time.Second

// settle lets proxies in when this replica knows the breakers of the others.
func (r *replicas) settle(started, now breaker.Instant) {
	select {
	case <-r.ready:
		return
	default:
	}
	known := r.router.Settled()
	if !known && now.Sub(started) < settlePeriod {
		return
	}
	if !known {
		r.log.Warn("other replicas do not answer: this one begins with what it has")
	}
	close(r.ready)
}

// awaitReplicas has the streams of proxies wait until this replica knows the breakers of the others.
func (a *app) awaitReplicas(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if a.replicas != nil && !link.Serves(info.FullMethod) {
		select {
		case <-a.replicas.ready:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
	return handler(srv, stream)
}

// leavePeriod is how long a shutdown waits for other replicas to take the breakers.
const leavePeriod = 3 * time.Second

// start joins the other replicas. stop hands the breakers over to them, and ends everything.
func (r *replicas) start(now func() breaker.Instant) (stop func()) {
	ticking, end := context.WithCancel(context.Background())
	var ticks sync.WaitGroup
	ticks.Go(func() { r.members.Run(ticking) })
	ticks.Go(func() { r.run(ticking, now) })
	if r.store != nil {
		ticks.Go(func() { r.reload(ticking, now) })
		ticks.Go(func() { r.saver.Run(ticking) })
	}
	return func() {
		deadline, cancel := context.WithTimeout(context.Background(), leavePeriod)
		defer cancel()
		r.members.Leave(deadline)
		r.router.Leave(now())
		for !r.router.Left() && deadline.Err() == nil {
			select {
			case <-deadline.Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
		end()
		ticks.Wait()
	}
}

// close ends the connections to other replicas and to the store.
func (r *replicas) close() {
	r.links.Close()
	if r.store != nil {
		_ = r.store.Close() // its connections end with the process anyway
	}
}

// process identifies the replicas together, to those who read the ids of probes.
func (r *Replicas) process() uint32 { return crc32.ChecksumIEEE([]byte(r.Store.Name)) }

// address returns the address at which other replicas reach this one.
func (r *Replicas) address(listen string) (string, error) {
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
