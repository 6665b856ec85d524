package fleet

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"breakwater.dev/bench/fleet/internal/bootstrap"
	"breakwater.dev/bench/fleet/internal/expect"
	"breakwater.dev/bench/fleet/internal/xdswire"
)

// Options say which proxies there are.
type Options struct {
	Address   string // where the control plane is, host:port
	Bootstrap *bootstrap.Bootstrap
	Proxies   int
	// Upstreams returns the list of upstreams of proxy i; nil, or a nil list: the proxy gets all.
	Upstreams func(i int) []string
	// Variant returns in which way proxy i differs from an Envoy with the bootstrap; nil: in none.
	Variant func(i int) Variant
	// Received is called with each resource that proxy 0 receives or loses, and with its version. It must not keep the
	// slices. May be nil.
	Received func(e expect.Event, version []byte)
}

// Variant is a proxy that differs from the others.
type Variant struct {
	Sotw   bool          // it uses the state-of-the-world variant of the protocol
	Delay  time.Duration // it waits this long before it reads each response, and has a small window
	Refuse string        // it refuses each response that has a cluster with this name
}

// Fleet is a number of proxies.
type Fleet struct {
	options  Options
	names    map[string]*texts // by type URL
	versions *texts
	contents contents
	proxies  []*proxy
	expected atomic.Pointer[expect.Change]
	example  atomic.Pointer[string] // a resource that was sent again

	stop    context.CancelFunc
	running sync.WaitGroup
}

// firstAddress is the local address of the first proxy. Each proxy has an address of its own, since a control plane may
// count what one address takes.
var firstAddress = [4]byte{127, 101, 0, 1}

// New returns proxies that do not run yet.
func New(o Options) (*Fleet, error) {
	f := &Fleet{options: o, names: map[string]*texts{}, versions: newTexts(firstVersion), contents: contents{seed: maphash.MakeSeed(), all: map[uint64]content{}}}
	for _, typeURL := range types {
		f.names[typeURL] = newTexts(0)
	}
	for i := range o.Proxies {
		p, err := f.newProxy(i)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		f.proxies = append(f.proxies, p)
	}
	return f, nil
}

// Start has all proxies connect. They stay connected, and connect again when they lose their connection, until Close.
func (f *Fleet) Start() {
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	for _, p := range f.proxies {
		f.running.Go(func() { p.run(ctx, p.aggregated) })
		for _, l := range p.layers {
			if !l.OverADS {
				f.running.Go(func() { p.run(ctx, func(ctx context.Context) error { return p.runtime(ctx, l) }) })
			}
		}
	}
	f.running.Go(func() { f.expire(ctx) })
}

// Close ends all proxies.
func (f *Fleet) Close() error {
	if f.stop != nil {
		f.stop()
	}
	f.running.Wait()
	var problems []error
	for _, p := range f.proxies {
		problems = append(problems, p.conn.Close())
	}
	return errors.Join(problems...)
}

// Expect has the fleet look for what e expects, in place of what it looked for before. It must be called before the change
// is made.
func (f *Fleet) Expect(e *expect.Change) {
	e.Begin(len(f.proxies))
	f.expected.Store(e)
}

// expireEvery is how often the fleet looks for layers that have expired.
const expireEvery = 50 * time.Millisecond

// expire drops runtime layers that were not renewed in time, until ctx ends.
func (f *Fleet) expire(ctx context.Context) {
	tick := time.NewTicker(expireEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, p := range f.proxies {
				p.expire(now)
			}
		}
	}
}

// Streams returns how many streams of proxies are open and have sent all that a proxy sends first, and how many there are
// to be.
func (f *Fleet) Streams() (open, want int) {
	for _, p := range f.proxies {
		open += int(p.open.Load())
		want += p.streams
	}
	return open, want
}

// Counts are the sums over all proxies.
type Counts struct {
	Bytes, Responses           int64 // all that came, in bytes of messages
	Heartbeats, HeartbeatBytes int64 // of these, the ones that only renew runtime layers
	Resources, Removed         int64
	Again                      int64 // resources that came in a version that the proxy had, and that it did not wait for
	Refused                    int64 // responses that were refused
	Lost                       int64 // runtime layers that expired
	Ended                      int64 // streams that ended
	Failed                     int64 // streams that could not be opened
}

// Counts returns the sums since the start.
func (f *Fleet) Counts() (sum Counts) {
	for _, p := range f.proxies {
		p.counts.add(&sum)
	}
	return sum
}

// Problem returns the last reason for which a stream of a proxy has ended; empty: none has.
func (f *Fleet) Problem() string {
	for _, p := range f.proxies {
		if problem := p.problem.Load(); problem != nil {
			return fmt.Sprintf("proxy %s: %s", p.id, *problem)
		}
	}
	return ""
}

// Example returns the last resource that is counted in [Counts].Again; empty: there is none.
func (f *Fleet) Example() string {
	if e := f.example.Load(); e != nil {
		return *e
	}
	return ""
}

// Sub returns c less before.
func (c Counts) Sub(before Counts) Counts {
	return Counts{
		Bytes: c.Bytes - before.Bytes, Responses: c.Responses - before.Responses,
		Heartbeats: c.Heartbeats - before.Heartbeats, HeartbeatBytes: c.HeartbeatBytes - before.HeartbeatBytes,
		Resources: c.Resources - before.Resources, Removed: c.Removed - before.Removed,
		Again: c.Again - before.Again, Refused: c.Refused - before.Refused, Lost: c.Lost - before.Lost,
		Ended: c.Ended - before.Ended, Failed: c.Failed - before.Failed,
	}
}

// Limits of a connection. Pings are as frequent as the bootstrap's, but wait longer for an answer, since the machine is busy.
const (
	window      = 1 << 20
	smallWindow = 64 << 10
	pingEvery   = 10 * time.Second
	pingTimeout = 60 * time.Second
	connectFor  = time.Second
	maxResponse = 1 << 30
	readBuffer  = 16 << 10
)

// dial prepares the connection of proxy i.
func (f *Fleet) dial(i int, v Variant) (*grpc.ClientConn, error) {
	local := net.IPv4(firstAddress[0], firstAddress[1]+byte(i/64_000), byte(i/250), firstAddress[3]+byte(i%250))
	size := int32(window)
	if v.Delay > 0 {
		size = smallWindow
	}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: local}}
	return grpc.NewClient("passthrough:///"+f.options.Address,
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", address)
		}),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableServiceConfig(), grpc.WithIdleTimeout(0),
		grpc.WithStaticStreamWindowSize(size), grpc.WithStaticConnWindowSize(2*size),
		grpc.WithReadBufferSize(readBuffer),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingEvery, Timeout: pingTimeout, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1, Jitter: 0.2, MaxDelay: 100 * time.Millisecond},
			MinConnectTimeout: connectFor,
		}))
}

// types are the types that a proxy asks for, in the order in which it asks.
var types = []string{xdswire.Runtime, xdswire.Cluster, xdswire.Endpoint, xdswire.Secret, xdswire.Listener, xdswire.Route, xdswire.VirtualHost}
