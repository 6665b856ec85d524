package discovery

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"breakwater.dev/internal/guard"
	"breakwater.dev/xds"
)

// view is what proxies have in common that listen at the same address, and call and may call the same upstreams.
type view struct {
	streams int         // that have it
	peer    *guard.Peer // whom it is counted against: the first one
	bytes   int64
	of      *xds.Translation // that is counted; nil: none is
}

// viewFactor is how much more than its bytes a resource takes: it is kept as a message, too.
const viewFactor = 6

// joinView has one more stream among those of a view.
func (s *Server) joinView(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.views[name]
	if v == nil {
		v = &view{}
		s.views[name] = v
	}
	v.streams++
}

// chargeView counts what a publication has for a view against the peer that is the first to get it, also
// where it was made in advance.
func (s *Server) chargeView(st *stream, p *Publication) error {
	s.mu.Lock()
	v := s.views[st.view]
	counted := v.of == p.translation
	s.mu.Unlock()
	if counted {
		return nil
	}
	bytes := p.ownBytes(st.view) * viewFactor
	if err := st.peer.TakeData(bytes); err != nil {
		return err
	}
	s.mu.Lock()
	peer := st.peer
	if v.of != p.translation { // else another stream was first meanwhile
		peer, v.peer = v.peer, peer
		bytes, v.bytes = v.bytes, bytes // of a policy before
		v.of = p.translation
	}
	s.mu.Unlock()
	peer.GiveData(bytes)
	return nil
}

func (p *Publication) ownBytes(view string) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int64(p.own[view])
}

// leaveView forgets a view with its last stream; "": none was joined.
func (s *Server) leaveView(name string) {
	if name == "" {
		return
	}
	s.mu.Lock()
	v := s.views[name]
	v.streams--
	last := v.streams == 0
	if last {
		delete(s.views, name)
	}
	s.mu.Unlock()
	if !last {
		return
	}
	v.peer.GiveData(v.bytes)
	for _, p := range []*Publication{s.current.Load(), s.published.Load()} {
		if p != nil {
			p.forget(name)
		}
	}
}

// forget drops what was made for a view.
func (p *Publication) forget(view string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.plain, view)
	delete(p.views, view)
	delete(p.own, view)
}

// nameBytes is what a name costs beside itself that a proxy asks for, or says that it has, and
// that does not exist.
const nameBytes = 256

// weight is what a stream holds for its proxy, in bytes.
type weight struct{ node, has, names int64 }

// listedBytes is what an upstream costs beside its name that a node lists.
const listedBytes = 64

// weightOf is what a stream keeps of how its proxy has introduced itself.
func weightOf(p *corev3.Node, n *Node) int64 {
	return int64(proto.Size(p.GetMetadata()) + len(n.Upstreams)*listedBytes)
}

// sentBytes is what it costs to know that a proxy has a resource.
const sentBytes = 96

// resources returns what the stream's proxy gets of a publication, and counts what was made for it.
func (st *stream) resources(p *Publication) (xds.Resources, error) {
	st.enter(p)
	rs, err := p.translated(st.node.Listen, st.called)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "translating the policy for this proxy: %v", err)
	}
	if err := st.server.chargeView(st, p); err != nil {
		return nil, err
	}
	return rs, nil
}

// weighAnew is [stream.weigh] when the proxy has said something.
func (st *stream) weighAnew() error {
	p := st.server.current.Load()
	if p == nil {
		return nil
	}
	rs, err := st.resources(p)
	if err != nil {
		return err
	}
	return st.weigh(rs)
}

// weigh counts what the stream keeps for its proxy: what that has, and names that mean nothing.
func (st *stream) weigh(rs xds.Resources) error {
	now := weight{node: st.weight.node}
	for typeURL, s := range st.subs {
		now.has += int64(len(s.sent)) * sentBytes
		for name := range s.names {
			if !rs.Has(typeURL, name) {
				now.names += int64(len(name)) + nameBytes
			}
		}
		for name, r := range s.sent {
			if r != nil && r.Body == nil && !rs.Has(typeURL, name) {
				now.names += int64(len(name)+len(r.Version)) + nameBytes
			}
		}
	}
	before := st.weight
	st.peer.GiveData(before.names)
	st.peer.Give(guard.XDS, before.has)
	st.weight = weight{node: now.node}
	if err := st.peer.TakeData(now.names); err != nil {
		return err
	}
	st.weight.names = now.names
	if err := st.peer.Take(guard.XDS, now.has); err != nil {
		return err
	}
	st.weight = now
	return nil
}
