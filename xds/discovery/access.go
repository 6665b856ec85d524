package discovery

// enter gives the stream's proxy the view that it has by a publication. The caller holds st.mu.
func (st *stream) enter(p *Publication) {
	st.list()
	if st.access == p.Access() {
		return
	}
	left := st.view
	st.access, st.calls = p.Access(), p.Access().CallsOf(*st.node)
	if st.view = st.calls.View(st.node.Listen); st.view != left {
		st.server.views.join(st.view)
		st.server.leaveView(left)
	}
}

// gets reports whether the stream's proxy gets an upstream by the publication that it last looked at.
func (st *stream) gets(upstream string) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.access != nil && st.calls.Gets(upstream)
}

// admit lists the upstreams on which the stream's proxy may report.
func (st *stream) admit() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.node != nil {
		st.list()
	}
}

// list is admit. The caller holds st.mu.
func (st *stream) list() {
	a := st.server.publisher.Admitted()
	if a == nil || a == st.admittedBy {
		return
	}
	c := a.CallsOf(*st.node)
	if st.admittedBy == nil || !c.Same(st.admitted) {
		st.listing.Set(c.Names == nil, c.Reached)
	}
	st.admittedBy, st.admitted = a, c
}

// exit leaves the view and the listing when the stream has ended.
func (st *stream) exit() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.server.leaveView(st.view)
	st.listing.Close()
	st.node, st.listing = nil, nil // the publisher no longer counts the proxy
}

// leaveView notes that a stream has left a view, and drops the view's resources with its last stream. An empty name is no
// view.
func (s *Server) leaveView(name string) {
	if name != "" && s.views.leave(name) {
		s.publisher.Forget(name)
	}
}
