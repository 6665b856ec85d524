package discovery

import (
	"net/netip"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"breakwater.dev/internal/guard"
	"breakwater.dev/internal/lockorder"
	"breakwater.dev/xds/discovery/internal/protocol"
	"breakwater.dev/xds/discovery/internal/publication"
)

// places record which peer is charged for the resources that only the proxies at one address get: the first peer with such a
// proxy. The zero value has no places.
type places struct {
	mu  lockorder.Mutex[lockorder.DiscoveryLeaf]
	all map[netip.AddrPort]*place // only addresses of proxies with open streams; guarded by mu
}

// place has the charge for one address at which proxies listen.
type place struct {
	streams int          // the number of open streams
	charged *Publication // the publication that peer is charged for; nil: none
	peer    *guard.Peer
	bytes   int64
}

// placeFactor is the ratio of a resource's memory to the bytes of its message.
const placeFactor = 2

// join adds a stream to a place.
func (p *places) join(listen netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = map[netip.AddrPort]*place{}
	}
	if p.all[listen] == nil {
		p.all[listen] = &place{}
	}
	p.all[listen].streams++
}

// leave removes a stream from a place. With the last one, no peer is charged any longer.
func (p *places) leave(listen netip.AddrPort) {
	p.mu.Lock()
	at := p.all[listen]
	at.streams--
	last := at.streams == 0
	if last {
		delete(p.all, listen)
	}
	p.mu.Unlock()
	if last {
		at.peer.GiveData(at.bytes)
	}
}

// charge charges a peer for the resources that a publication has for a place, unless a peer is charged already. It does not
// matter for which peer they were made. The place must have a stream.
func (p *places) charge(listen netip.AddrPort, peer *guard.Peer, next *Publication) error {
	p.mu.Lock()
	at := p.all[listen]
	charged := at.charged == next
	p.mu.Unlock()
	if charged {
		return nil
	}
	bytes := int64(next.Bytes(listen)) * placeFactor
	if err := peer.TakeData(bytes); err != nil {
		return err
	}
	p.mu.Lock()
	if at.charged != next { // else another stream was first meanwhile
		peer, at.peer = at.peer, peer
		bytes, at.bytes = at.bytes, bytes // for an earlier policy
		at.charged = next
	}
	p.mu.Unlock()
	peer.GiveData(bytes)
	return nil
}

// weight is the memory that a stream takes for its proxy, in bytes, by estimate.
type weight struct {
	node  int64 // for the proxy's introduction
	proxy protocol.Weight
}

// listedBytes is the memory for an upstream that a node lists, beside its name: in the node, in the calls of its view, and in
// the lists of its resources.
const listedBytes = 192

// weightOf returns the memory for a proxy's introduction, in bytes.
func weightOf(p *corev3.Node, n *Node) int64 {
	return int64(proto.Size(p.GetMetadata()) + len(n.Upstreams)*listedBytes)
}

// content returns what the stream's proxy gets by a publication, and charges a peer for it. The caller holds st.mu.
func (st *stream) content(p *Publication) (*publication.Content, error) {
	st.list()
	c, err := p.For(st.view)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "translating the policy for this proxy: %v", err)
	}
	if st.had == c {
		return c, nil
	}
	if err := st.server.places.charge(st.node.Listen, st.peer, p); err != nil {
		return nil, err
	}
	st.had = c
	return c, nil
}

// weighAnew calls weigh after a request. The caller holds st.mu.
func (st *stream) weighAnew() error {
	p := st.server.publisher.Current()
	if p == nil {
		return nil
	}
	c, err := st.content(p)
	if err != nil {
		return err
	}
	return st.weigh(c)
}

// weigh charges the peer for the memory of the proxy's subscriptions: for the resources that it has, and for names that do
// not exist. The proxy gets the given content. The caller holds st.mu.
func (st *stream) weigh(c *publication.Content) error {
	before, now := st.weight.proxy, st.proxy.Weight(c.Resources)
	if before == now {
		return nil
	}
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
