package discovery

import (
	"time"

	"breakwater.dev/xds"
)

// removable tells whether a resource that is no more may be removed from a proxy now.
type removable func(name string) bool

func always(string) bool { return true }
func never(string) bool  { return false }

// remove adds to out the removals of clusters, and of what belongs to them, that may go now, and sees to it
// that the stream looks again when the next may.
func (st *stream) remove(out []*response, rs xds.Resources) []*response {
	var least time.Duration
	for _, typeURL := range goLast {
		may, wait := st.unnamed(typeURL, rs)
		if wait > 0 && (least == 0 || wait < least) {
			least = wait
		}
		out = st.respond(out, typeURL, rs, may)
	}
	if least > 0 {
		st.later.Reset(least)
	}
	return out
}

// unnamed returns which resources of a type may be removed from the proxy: those that its routes and
// listeners have not named for so long that no call is left which chose them before. Whatever it
// has refused may still name what it had. It returns after what time the next may go, too; 0: nothing waits.
func (st *stream) unnamed(typeURL string, rs xds.Resources) (may removable, next time.Duration) {
	s := st.subs[typeURL]
	if s == nil || st.goal != nil || !st.settled(xds.Types...) || !st.routesKnown() || st.refuses(xds.RouteType) || st.refuses(xds.ListenerType) {
		return never, 0
	}
	now := st.server.options.Now()
	next = s.leave(rs[typeURL], now)
	return func(name string) bool {
		since, leaving := s.leaving[name]
		return leaving && now.Sub(since) >= xds.RouteToHost
	}, next
}

// refuses tells whether the proxy has refused anything of a type.
func (st *stream) refuses(typeURL string) bool {
	s := st.subs[typeURL]
	return s != nil && len(s.refused) > 0
}

// leave notes that nothing names any more what is in rs no more, and returns when the next
// of that may be removed; 0: nothing waits.
func (s *subscription) leave(rs []*xds.Resource, now time.Time) (next time.Duration) {
	leaving := map[string]time.Time{}
	for _, name := range s.surplus(rs) {
		since, known := s.leaving[name]
		if !known {
			since = now
		}
		leaving[name] = since
		if wait := xds.RouteToHost - now.Sub(since); wait > 0 && (next == 0 || wait < next) {
			next = wait
		}
	}
	s.leaving = leaving
	return next
}

// stay forgets that what is in rs was leaving: routes may name it again.
func (s *subscription) stay(rs []*xds.Resource) {
	if len(s.leaving) == 0 {
		return
	}
	for name := range namesOf(rs) {
		delete(s.leaving, name)
	}
}
