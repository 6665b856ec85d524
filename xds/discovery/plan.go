package discovery

import (
	"slices"
	"time"

	"breakwater.dev/xds"
)

// waitsFor says which types must be settled before a type's changes are sent, so
// that nothing is named before it is there. Endpoints and secrets wait for nothing: Envoy
// holds its answer about clusters back until it has theirs.
var waitsFor = map[string][]string{
	xds.ListenerType: {xds.ClusterType},
	xds.RouteType:    {xds.ClusterType, xds.EndpointType, xds.SecretType, xds.ListenerType},
}

// goLast are the types whose resources others name: they go when nobody does any more.
var goLast = []string{xds.ClusterType, xds.EndpointType, xds.SecretType}

// flush sends what the proxy lacks and may have now. It sends without the lock:
// a proxy that does not read must stop nobody who asks for its status.
func (st *stream) flush() error {
	if err := st.flushLayer(); err != nil {
		return err
	}
	responses, err := st.prepare()
	if err != nil {
		return err
	}
	for _, r := range responses {
		if err := r.send(); err != nil {
			return ended(err)
		}
	}
	return nil
}

// building is how many streams may make responses at a time, before those are counted.
const building = 16

// responseBytes is what a resource costs in a response until that is sent, besides its bytes.
const responseBytes = 256

// prepare is plan, and counts what is sent against the peer until its connection has written
// it: a proxy may not read.
func (st *stream) prepare() ([]*response, error) {
	st.server.building <- struct{}{}
	defer func() { <-st.server.building }()
	responses, err := st.plan()
	if err != nil {
		return nil, err
	}
	for _, r := range responses {
		if err := st.peer.Queue(int64(r.size), int64(r.count)*responseBytes); err != nil {
			return nil, err
		}
	}
	return responses, nil
}

// plan decides what is sent now: additions from clusters to routes, each after what
// it refers to was taken; then removals, of clusters only when the routes that named them
// are gone, and with them the calls that chose one of these.
func (st *stream) plan() ([]*response, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.node == nil {
		return nil, nil
	}
	st.planRetries()
	p := st.server.current.Load()
	if p == nil {
		return nil, nil
	}
	rs, err := st.resources(p)
	if err != nil {
		return nil, err
	}
	st.lookForUnknown()
	var out []*response
	for _, typeURL := range xds.Types {
		if typeURL == xds.RuntimeType {
			continue // see flushLayer
		}
		may := always
		if slices.Contains(goLast, typeURL) {
			may = never
		}
		if s := st.subs[typeURL]; s != nil {
			s.stay(rs[typeURL])
		}
		if !st.settled(waitsFor[typeURL]...) {
			continue
		}
		if typeURL == xds.RouteType {
			if rs, err = st.step(p, rs); err != nil {
				return nil, err
			}
		}
		out = st.respond(out, typeURL, rs, may)
	}
	out = st.remove(out, rs)
	// In SotW, removing clusters says all others again, and those may have been refused
	// before: they need their endpoints now, as there is nothing else to wake us.
	if out = st.respond(out, xds.EndpointType, rs, never); len(out) > 0 {
		return out, st.weigh(rs)
	}
	return nil, nil
}

// planRetries has what was refused sent again when it is due, and the stream woken for
// what will be.
func (st *stream) planRetries() {
	now := st.server.options.Now()
	var first time.Time
	for typeURL, s := range st.subs {
		if s.inFlight {
			continue // its answer leads here again
		}
		next := s.due()
		if typeURL != xds.RuntimeType { // which flushLayer sends, that looks for itself
			next = s.retry(now)
		}
		if !next.IsZero() && (first.IsZero() || next.Before(first)) {
			first = next
		}
	}
	if first.IsZero() {
		st.retry.Stop()
	} else {
		st.retry.Reset(first.Sub(now))
	}
}

// routesKnown tells whether the routes that the proxy has are known. One that comes
// back with clusters has routes to them, and will ask for those after the clusters.
func (st *stream) routesKnown() bool {
	clusters := st.subs[xds.ClusterType]
	return clusters == nil || !clusters.resumed || st.subs[xds.RouteType] != nil
}

// settled tells whether no response of these types awaits its answer.
func (st *stream) settled(types ...string) bool {
	for _, typeURL := range types {
		if s := st.subs[typeURL]; s != nil && s.inFlight {
			return false
		}
	}
	return true
}

// respond adds to out what a type lacks, unless a response is on its way already.
func (st *stream) respond(out []*response, typeURL string, rs xds.Resources, may removable) []*response {
	s := st.subs[typeURL]
	if s == nil || s.inFlight {
		return out
	}
	st.seq++
	r := st.protocol.respond(typeURL, st.seq, s, rs[typeURL], may)
	if r == nil {
		return out
	}
	if typeURL == xds.ClusterType {
		st.forgetEndpoints(s.flight)
	}
	st.server.pushed(typeURL, r.size)
	return append(out, r)
}

// forgetEndpoints makes the endpoints of clusters be sent again. A cluster that
// changes is a new one to Envoy, which waits for endpoints but does not ask for them,
// since it still has its subscription (envoyproxy/envoy issue 47302): the change
// would take effect only when its initial_fetch_timeout, 15 s, is over.
func (st *stream) forgetEndpoints(clusters []string) {
	if s := st.subs[xds.EndpointType]; s != nil {
		for _, name := range clusters {
			if s.names[name] {
				s.repeat(name)
				s.version = "" // for SotW, whose unit is all of it
			}
		}
	}
}
