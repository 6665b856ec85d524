package discovery

import (
	"breakwater.dev/internal/guard"
)

// view is what proxies have in common that listen at the same address and call the same upstreams.
type view struct {
	streams int         // that have it
	peer    *guard.Peer // whom it is counted against: the first one
	bytes   int64
}

// viewFactor is how much more than its bytes a resource takes: it is kept as a message, too.
const viewFactor = 6

// joinView has the stream's proxy among those of its view.
func (s *Server) joinView(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.views[st.node.view()]
	if v == nil {
		v = &view{}
		s.views[st.node.view()] = v
	}
	v.streams++
}

// chargeView counts what was made for a view against the peer that was the first to need it.
func (s *Server) chargeView(st *stream, own int) error {
	bytes := int64(own) * viewFactor
	if err := st.peer.Take(guard.XDS, bytes); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.views[st.node.view()]
	v.peer.Give(v.bytes) // of a policy before
	v.peer, v.bytes = st.peer, bytes
	return nil
}

// leaveView forgets a view with its last stream.
func (s *Server) leaveView(st *stream) {
	st.mu.Lock()
	node := st.node
	st.mu.Unlock()
	if node == nil {
		return
	}
	s.mu.Lock()
	v := s.views[node.view()]
	v.streams--
	last := v.streams == 0
	if last {
		delete(s.views, node.view())
	}
	s.mu.Unlock()
	if !last {
		return
	}
	v.peer.Give(v.bytes)
	if p := s.current.Load(); p != nil {
		p.forget(node.view())
	}
}

// forget drops what was made for a view.
func (p *Publication) forget(view string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.plain, view)
	delete(p.views, view)
}

// nameBytes is what a name costs beside itself that a proxy asks for, or says that it has, and
// that does not exist.
const nameBytes = 256

// weigh counts what the stream keeps for its proxy: names that mean nothing.
func (st *stream) weigh() error {
	p := st.server.current.Load()
	if p == nil {
		return nil
	}
	rs, own, err := p.resources(*st.node)
	if err != nil {
		return nil // the flush that follows says so
	}
	if own > 0 {
		if err := st.server.chargeView(st, own); err != nil {
			return err
		}
	}
	total := int64(0)
	for typeURL, s := range st.subs {
		for name := range s.names {
			if !rs.Has(typeURL, name) {
				total += int64(len(name)) + nameBytes
			}
		}
		for name, r := range s.sent {
			if r != nil && r.Body == nil && !rs.Has(typeURL, name) {
				total += int64(len(name)+len(r.Version)) + nameBytes
			}
		}
	}
	if more := total - st.weight; more < 0 {
		st.peer.Give(-more)
	} else if err := st.peer.Take(guard.XDS, more); err != nil {
		return err
	}
	st.weight = total
	return nil
}
