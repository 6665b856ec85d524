package discovery

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"breakwater.dev/internal/guard"
	"breakwater.dev/internal/lockorder"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/protocol"
)

// views record which peer is charged for the resources of a view: the first peer that gets them. The zero value has no
// views.
type views struct {
	mu  lockorder.Mutex[lockorder.DiscoveryLeaf]
	all map[string]*view // by name, see [publication.Calls.View]; only views with open streams; guarded by mu
}

// view has the charge for one view: proxies that listen at the same address, and call and may call the same upstreams, get
// the same resources.
type view struct {
	streams int          // the number of open streams
	charged *Publication // the publication that peer is charged for; nil: none
	peer    *guard.Peer
	bytes   int64
}

// viewFactor is the ratio of a resource's memory to its bytes: it is kept as a message, too.
const viewFactor = 6

// join adds a stream to a view.
func (v *views) join(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.all == nil {
		v.all = map[string]*view{}
	}
	if v.all[name] == nil {
		v.all[name] = &view{}
	}
	v.all[name].streams++
}

// leave removes a stream from a view, and reports whether it was the last one. Then no peer is charged any longer.
func (v *views) leave(name string) (last bool) {
	v.mu.Lock()
	w := v.all[name]
	w.streams--
	if last = w.streams == 0; last {
		delete(v.all, name)
	}
	v.mu.Unlock()
	if last {
		w.peer.GiveData(w.bytes)
	}
	return last
}

// charge charges a peer for the resources that a publication has for a view alone, unless a peer is charged already. It
// does not matter for which peer they were made. The view must have a stream.
func (v *views) charge(name string, peer *guard.Peer, p *Publication) error {
	v.mu.Lock()
	w := v.all[name]
	charged := w.charged == p
	v.mu.Unlock()
	if charged {
		return nil
	}
	bytes := p.OwnBytes(name) * viewFactor
	if err := peer.TakeData(bytes); err != nil {
		return err
	}
	v.mu.Lock()
	if w.charged != p { // else another stream was first meanwhile
		peer, w.peer = w.peer, peer
		bytes, w.bytes = w.bytes, bytes // for an earlier policy
		w.charged = p
	}
	v.mu.Unlock()
	peer.GiveData(bytes)
	return nil
}

// weight is the memory that a stream takes for its proxy, in bytes, by estimate.
type weight struct {
	node  int64 // for the proxy's introduction
	proxy protocol.Weight
}

// listedBytes is the memory for an upstream that a node lists, beside its name.
const listedBytes = 64

// weightOf returns the memory for a proxy's introduction, in bytes.
func weightOf(p *corev3.Node, n *Node) int64 {
	return int64(proto.Size(p.GetMetadata()) + len(n.Upstreams)*listedBytes)
}

// resources returns the resources that the stream's proxy gets by a publication, and charges a peer for them. The caller
// holds st.mu.
func (st *stream) resources(p *Publication) (xds.Resources, error) {
	st.enter(p)
	rs, err := p.Resources(st.node.Listen, st.calls)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "translating the policy for this proxy: %v", err)
	}
	if err := st.server.views.charge(st.view, st.peer, p); err != nil {
		return nil, err
	}
	return rs, nil
}

// weighAnew calls weigh after a request. The caller holds st.mu.
func (st *stream) weighAnew() error {
	p := st.server.publisher.Current()
	if p == nil {
		return nil
	}
	rs, err := st.resources(p)
	if err != nil {
		return err
	}
	return st.weigh(rs)
}

// weigh charges the peer for the memory of the proxy's subscriptions: for the resources that it has, and for names that do
// not exist. The proxy gets the given resources. The caller holds st.mu.
func (st *stream) weigh(resources xds.Resources) error {
	before, now := st.weight.proxy, st.proxy.Weight(resources)
	st.peer.GiveData(before.Names)
	st.peer.Give(guard.XDS, before.Sent)
	st.weight.proxy = protocol.Weight{}
	if err := st.peer.TakeData(now.Names); err != nil {
		return err
	}
	st.weight.proxy.Names = now.Names
	if err := st.peer.Take(guard.XDS, now.Sent); err != nil {
		return err
	}
	st.weight.proxy = now
	return nil
}

// unload ends the charges for a stream that has ended.
func (st *stream) unload() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.peer.GiveData(st.weight.proxy.Names)
	st.peer.Give(guard.XDS, st.weight.node+st.weight.proxy.Sent)
}
