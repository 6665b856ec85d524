package discovery

// gets reports whether the stream's proxy gets an upstream by the publication that it last looked at.
func (st *stream) gets(upstream string) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.had != nil && st.had.Gets(upstream)
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
	p := st.server.publisher.Admitted()
	if p == nil || p == st.admittedBy {
		return
	}
	c, err := p.For(st.view)
	if err != nil {
		return // the publication cannot be sent to the proxy either, which ends its stream
	}
	if st.admitted != c.Calls {
		st.listing.Set(c.Calls.Names == nil, c.Calls.Reached)
	}
	st.admittedBy, st.admitted = p, c.Calls
}

// exit leaves the view, the place and the listing when the stream has ended.
func (st *stream) exit() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.view != nil {
		st.server.places.leave(st.node.Listen)
		st.server.publisher.Leave(st.view)
	}
	st.listing.Close()
	st.node, st.listing = nil, nil // the proxy no longer counts
}
