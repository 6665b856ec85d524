package discovery

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"breakwater.dev/internal/guard"
	"breakwater.dev/internal/untrusted"
	"breakwater.dev/xds"
)

// maxNames bounds how many resources one stream may ask for by name.
const maxNames = 100_000

// request is one message of a proxy, whichever protocol it came in.
type request struct {
	node    *corev3.Node
	typeURL string
	names   int // that it asks for, or says that it has
	nonce   string
	refused *rpcstatus.Status // set: the answer to nonce is no
	apply   func(s *subscription, first bool)
}

// protocol is delta or SotW on one gRPC stream.
type protocol interface {
	recv() (request, error)
	// respond returns what the subscription lacks of rs, recorded as sent; nil when it
	// lacks nothing. Of what is in rs no more, what may not go stays for now.
	respond(typeURL string, seq uint64, s *subscription, rs []*xds.Resource, may removable) *response
}

// response is one message to a proxy.
type response struct {
	size  int // bytes of its resources
	count int // of them
	send  func() error
}

// stream is one proxy's stream. One goroutine receives and one, run, does all the rest.
type stream struct {
	server    *Server
	protocol  protocol
	peer      *guard.Peer
	publish   chan struct{} // a publication is there; holds one
	follower  *follower     // has joined when the proxy has asked for its runtime layer
	connected time.Time
	runtime   layered
	present   *presence    // nil until it has asked for resources; of the goroutine that runs the stream
	meeting   *time.Timer  // when to look whether its proxy is the only one of its id
	later     *time.Timer  // something may be sent or removed then
	retry     *time.Timer  // something that was refused is due again
	looked    *Publication // the last one that was held against what the proxy lists

	mu       sync.Mutex // guards what follows, for those who read the status
	node     *Node      // nil until the first request
	access   *access    // that what follows is by; nil: the proxy gets nothing yet
	called   called
	view     string
	listedBy *access // that listing is by; nil: it says nothing yet
	listed   called
	weight   weight // that is counted against the peer
	listing  *guard.Listing
	subs     map[string]*subscription
	taken    *xds.Resource // the routes that the proxy has; nil: they are not known
	goal     *xds.Resource // the routes that it gets next, when all its workers know their hosts; nil: none
	seq      uint64
}

// run serves the stream until it ends, ctx is over or the server closes.
func (st *stream) run(ctx context.Context) error {
	requests, failed := make(chan request), make(chan error, 1)
	go func() {
		for first := true; ; first = false {
			r, err := st.protocol.recv()
			if err != nil {
				if first {
					st.peer.Reset()
				}
				failed <- err
				return
			}
			select {
			case requests <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		flush := st.flush
		select {
		case r := <-requests:
			if err := st.take(r); err != nil {
				return err
			}
			st.appear(ctx, r.typeURL)
		case <-st.meeting.C:
			st.meet()
			continue
		case <-st.publish:
		case <-st.follower.wake:
			flush = st.flushLayer
		case <-st.runtime.beat.C:
			flush = st.flushLayer
		case <-st.later.C:
		case <-st.retry.C:
		case err := <-failed:
			return ended(err)
		case <-ctx.Done():
			return ctx.Err()
		case <-st.server.closed:
			return status.Error(codes.Unavailable, "the control plane is shutting down")
		}
		if err := flush(); err != nil {
			return err
		}
	}
}

// appear notes that the proxy is there, when it first asks for resources. Its runtime layer it may ask for on
// a stream of its own.
func (st *stream) appear(ctx context.Context, typeURL string) {
	if st.present != nil || typeURL == xds.RuntimeType {
		return
	}
	st.present = &presence{id: st.node.ID, peer: st.peer, host: hostOf(ctx), listen: st.node.Listen, since: st.connected}
	st.server.enter(st.present)
	st.meet()
}

func (st *stream) meet() {
	if again := st.server.meet(st.present); again > 0 {
		st.meeting.Reset(again)
	}
}

// take handles one request: who the proxy is, what it wants, what it says of the last response.
func (st *stream) take(r request) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.node == nil {
		n, err := parseNode(r.node)
		if err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
		if err := st.peer.Admit(guard.XDS, n.ID, n.Cluster); err != nil {
			return err
		}
		described := weightOf(r.node, &n)
		if err := st.peer.Take(guard.XDS, described); err != nil {
			return err
		}
		st.node, st.listing, st.weight.node = &n, st.peer.List(), described
		st.server.introduced(st.peer, n, r.typeURL)
	}
	s, known := st.subs[r.typeURL]
	if !known {
		if !served(r.typeURL) {
			return nil // a type we have nothing of; the proxy may ask
		}
		s = newSubscription()
		st.subs[r.typeURL] = s
	}
	message := ""
	if r.refused != nil {
		message = fmt.Sprintf("%s (code %d)", untrusted.Message(r.refused.GetMessage()), r.refused.GetCode())
	}
	awaited := s.inFlight && r.nonce == s.nonce
	refused := st.answer(s, r, message)
	reserved := int64(r.names) * nameBytes
	if err := st.peer.TakeData(reserved); err != nil {
		return err
	}
	defer st.peer.GiveData(reserved) // what they weigh is known then
	r.apply(s, !known)
	switch {
	case r.typeURL != xds.RuntimeType:
	case !known:
		st.runtime.bare = !s.resumed
		st.follower.node = st.node.ID
		st.server.rollouts.join(st.follower)
	case awaited:
		st.answered(refused)
	}
	if c := st.subs[xds.ClusterType]; !known && r.typeURL == xds.EndpointType && c != nil {
		// It came back with what it had, after clusters were sent to it.
		st.forgetEndpoints(c.flight)
	}
	if len(s.names) > maxNames {
		return st.peer.Refuse(guard.XDS, guard.Metadata, fmt.Sprintf("one stream may ask for at most %d resources of a type", maxNames))
	}
	return st.weighAnew()
}

// unload gives back what was counted against the peer of a stream that has ended.
func (st *stream) unload() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.peer.GiveData(st.weight.names)
	st.peer.Give(guard.XDS, st.weight.node+st.weight.has)
}

// answer takes the proxy's answer to a response, and tells whether it was refused.
func (st *stream) answer(s *subscription, r request, message string) (refused bool) {
	again := slices.ContainsFunc(s.flight, func(name string) bool { return s.refused[name].message == message })
	refused = s.answer(r.nonce, message, st.server.options.Now())
	switch {
	case refused:
		st.server.nacked(st, r.typeURL, s.flight, message, again)
	case s.satisfied():
		st.server.accepted(st, r.typeURL)
	}
	return refused
}

// served tells whether we have resources of a type.
func served(typeURL string) bool {
	return slices.Contains(xds.Types, typeURL)
}
