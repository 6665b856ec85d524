package discovery

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"breakwater.dev/internal/guard"
	"breakwater.dev/internal/lockorder"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/node"
	"breakwater.dev/xds/discovery/internal/plan"
	"breakwater.dev/xds/discovery/internal/presence"
	"breakwater.dev/xds/discovery/internal/protocol"
	"breakwater.dev/xds/discovery/internal/publication"
	"breakwater.dev/xds/discovery/internal/rollout"
)

// maxNames is how many resources of a type one stream may ask for by name.
const maxNames = 100_000

// stream is one proxy's stream. One goroutine receives, and another one, run, does everything else.
type stream struct {
	server    *Server
	rpc       protocol.Stream
	peer      *guard.Peer
	connected time.Time
	publish   chan struct{}     // a publication is there; holds one
	follower  *rollout.Follower // joins when the proxy asks for its runtime layer

	// The following fields belong to the goroutine of run.
	runtime rtdsState
	present *presence.Proxy      // nil until the proxy asks for resources
	meeting *time.Timer          // when to look for another proxy with the same id
	later   *time.Timer          // when something may be sent or removed
	retry   *time.Timer          // when a refused resource is due again
	looked  *publication.Content // the last one that was compared with the upstreams that the proxy lists

	mu         lockorder.Mutex[lockorder.DiscoveryStream] // guards the following fields, which status and publisher read
	node       *node.Node                                 // nil before the first request, and after the end
	proxy      *plan.Proxy
	view       *publication.View    // nil before the first request
	had        *publication.Content // the last content that the stream looked at; nil: none yet
	admittedBy *Publication         // admitted follows from it; nil: listing is empty
	admitted   *publication.Calls   // the calls in listing
	listing    *guard.Listing       // the upstreams that the proxy may report on
	weight     weight               // the memory that is charged to the peer
}

// run serves the stream until it ends, ctx is over or the server closes.
func (st *stream) run(ctx context.Context) error {
	requests, failed := make(chan protocol.Request), make(chan error, 1)
	go st.receive(ctx, requests, failed)
	for {
		flush := st.flush
		select {
		case r := <-requests:
			if err := st.take(r); err != nil {
				return err
			}
			st.appear(ctx, r.TypeURL)
		case <-st.meeting.C:
			st.meet()
			continue
		case <-st.publish:
		case <-st.follower.Wake():
			flush = st.flushLayer
		case <-st.runtime.heartbeat.C:
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

// wake has the stream look at the current publication.
func (st *stream) wake() {
	select {
	case st.publish <- struct{}{}:
	default: // the stream has yet to look, and will find the latest
	}
}

// receive passes the proxy's requests on, until receiving fails or ctx is over.
func (st *stream) receive(ctx context.Context, requests chan<- protocol.Request, failed chan<- error) {
	for first := true; ; first = false {
		r, err := st.rpc.Recv()
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
}

// end releases everything that the stream holds. It is called when run has returned.
func (st *stream) end() {
	st.meeting.Stop()
	st.retry.Stop()
	st.later.Stop()
	if st.present != nil {
		st.server.present.Leave(st.present)
	}
	st.leaveLayer()
	st.exit()
	st.unload()
}

// appear registers the proxy when it first asks for resources. It may ask for its runtime layer on another stream.
func (st *stream) appear(ctx context.Context, typeURL string) {
	if st.present != nil || typeURL == xds.RuntimeType {
		return
	}
	st.present = &presence.Proxy{ID: st.node.ID, Host: presence.HostOf(ctx), Listen: st.node.Listen, Since: st.connected}
	st.server.present.Enter(st.present)
	st.meet()
}

// meet looks for another proxy with the same id, and sets the timer for the next look.
func (st *stream) meet() {
	other, again := st.server.present.Meet(st.present, st.server.options.Now())
	if other != nil {
		st.server.tellDuplicate(st.peer, other, st.present)
	}
	if again > 0 {
		st.meeting.Reset(again)
	}
}

// take handles one request: its introduction of the proxy, its answer to the last response, and its subscription.
func (st *stream) take(r protocol.Request) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.node == nil {
		if err := st.introduce(r); err != nil {
			return err
		}
	}
	s, known := st.proxy.Subscribe(r.TypeURL)
	if s == nil {
		return nil
	}
	answer := s.Answer(r, st.server.options.Now())
	switch {
	case answer.Lapsed:
		st.server.tellLapsed(st, answer)
	case answer.Refused:
		st.server.tellRefused(st, r.TypeURL, answer)
		st.server.nacked(r.TypeURL)
	case answer.Recovered:
		st.server.tellRecovered(st, r.TypeURL)
	}
	reserved := r.Weight()
	if err := st.peer.TakeData(reserved); err != nil {
		return err
	}
	defer st.peer.GiveData(reserved) // by then weighAnew has charged the peer for the names
	st.proxy.Apply(r)
	switch {
	case r.TypeURL != xds.RuntimeType:
	case st.rpc.Kind() == protocol.Sotw && s.Names() > 1:
		return st.server.denyParts(st)
	case !known:
		st.joinLayer(s.Resumed())
	case answer.Awaited:
		st.answered(s, answer)
	}
	if s.Names() > maxNames {
		return st.peer.Refuse(guard.XDS, guard.Metadata, fmt.Sprintf("one stream may ask for at most %d resources of a type", maxNames))
	}
	return st.weighAnew()
}

// introduce reads the proxy's introduction from its first request. The caller holds st.mu.
func (st *stream) introduce(r protocol.Request) error {
	n, err := node.Parse(r.Node)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if err := st.peer.Admit(guard.XDS, n.ID, n.Cluster); err != nil {
		return err
	}
	described := weightOf(r.Node, &n)
	if err := st.peer.Take(guard.XDS, described); err != nil {
		return err
	}
	st.node, st.listing, st.weight.node = &n, st.peer.List(), described
	st.view = st.server.publisher.Views.Join(n)
	st.server.places.join(n.Listen)
	st.server.tellIntroduced(st.peer, n, r.TypeURL)
	return nil
}
