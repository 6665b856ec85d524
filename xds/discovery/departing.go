package discovery

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"breakwater.dev/policy"
	"breakwater.dev/xds"
)

// departure is a host of an upstream that took calls over, and that the policy has no more, or not for
// those whose calls these were. Such calls go through their proxy once more, and choose a route there
// by this host: those that set out by the routes of before would find none.
type departure struct {
	upstream *policy.Upstream // as it was
	host     string
	until    time.Time // or longer, while there is a proxy that is [stream.late]
	latest   time.Time // but no longer than this
	callers  []string  // of those that it took over from, whose calls these are; empty: all workloads
}

const (
	// mostLate is how long what departs waits for proxies that are late. Routes are sent when
	// clusters were taken, which a busy proxy may take a while for.
	mostLate = 10 * xds.RouteToHost
	// lateAgain is how long after one was found to be late it is looked again.
	lateAgain = 250 * time.Millisecond
)

// departures are those there are when next replaces what is published.
func (s *Server) departures(next *policy.Set) []departure {
	var all []departure
	add := func(d departure) {
		if at, stays := search(next, d.upstream.Name); serves(next, d.host) && !(stays && answers(next.Upstreams[at], d.host)) {
			return // calls to the host are another's now
		}
		if i := slices.IndexFunc(all, func(o departure) bool { return o.host == d.host }); i >= 0 {
			all[i].callers = either(all[i].callers, d.callers)
			return
		}
		all = append(all, d)
	}
	if p := s.published.Load(); p != nil {
		now := s.options.Now()
		until, latest := now.Add(xds.RouteToHost), now.Add(mostLate)
		for _, u := range p.set.Upstreams {
			for _, to := range fallbacks(u) {
				if !fallsBack(next, u.Name, to) || !serves(next, to.Host) {
					add(departure{find(p.set, to.Name), to.Host, until, latest, u.Callers})
				}
			}
		}
	}
	for _, d := range s.departing {
		add(d)
	}
	return all
}

// fallbacks are where calls to an upstream go that it does not take.
func fallbacks(u *policy.Upstream) []policy.FallbackUpstream {
	var all []policy.FallbackUpstream
	for i := range u.Routes {
		if b := u.Routes[i].Breaker; b != nil && b.Fallback.Upstream != nil {
			all = append(all, *b.Fallback.Upstream)
		}
	}
	return all
}

// fallsBack tells whether calls to an upstream go there in a set.
func fallsBack(set *policy.Set, name string, to policy.FallbackUpstream) bool {
	at, there := search(set, name)
	return there && slices.Contains(fallbacks(set.Upstreams[at]), to)
}

// either are the callers of two upstreams; none: every workload.
func either(a, b []string) []string {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	both := slices.Concat(a, b)
	slices.Sort(both)
	return slices.Compact(both)
}

func find(set *policy.Set, name string) *policy.Upstream {
	i := slices.IndexFunc(set.Upstreams, func(u *policy.Upstream) bool { return u.Name == name })
	return set.Upstreams[i] // a set has what it names
}

// serves tells whether calls to a host reach an upstream.
func serves(set *policy.Set, host string) bool {
	return slices.ContainsFunc(set.Upstreams, func(u *policy.Upstream) bool { return answers(u, host) })
}

// answers tells whether a host is one of an upstream.
func answers(u *policy.Upstream, host string) bool {
	reaches := func(pattern string) bool {
		suffix, any := strings.CutPrefix(pattern, "*")
		prefix, anyEnd := strings.CutSuffix(pattern, "*")
		return pattern == host || any && strings.HasSuffix(host, suffix) || anyEnd && strings.HasPrefix(host, prefix)
	}
	return u.Protocol != policy.TCP && slices.ContainsFunc(u.Hosts, reaches)
}

// withDeparting is the set with what departs, as it was but for breakers, which are no more.
func withDeparting(set *policy.Set, departing []departure) *policy.Set {
	if len(departing) == 0 {
		return set
	}
	joined := *set
	joined.Upstreams = slices.Clone(set.Upstreams)
	for _, d := range departing {
		at, stays := search(&joined, d.upstream.Name)
		if stays { // for others, or under other hosts
			u := *joined.Upstreams[at]
			if !answers(&u, d.host) {
				u.Hosts = append(slices.Clone(u.Hosts), d.host)
			}
			u.Callers = either(u.Callers, d.callers)
			joined.Upstreams[at] = &u
			continue
		}
		u := *d.upstream
		u.Hosts, u.Routes, u.Callers = []string{d.host}, slices.Clone(u.Routes), either(u.Callers, d.callers)
		for i := range u.Routes {
			u.Routes[i].Breaker = nil
		}
		joined.Upstreams = slices.Insert(joined.Upstreams, at, &u)
	}
	return &joined
}

// search returns where an upstream is in a set, or would be, and whether it is there.
func search(set *policy.Set, name string) (at int, there bool) {
	return slices.BinarySearchFunc(set.Upstreams, name, func(u *policy.Upstream, name string) int { return cmp.Compare(u.Name, name) })
}

// show makes what is published last, with what departs, what proxies get, and sees to it that
// that goes in time. Admit is called with that before. The caller holds publishing.
func (s *Server) show(admit func(*Publication)) {
	now, late := s.options.Now(), sync.OnceValue(s.late)
	s.departing = slices.DeleteFunc(s.departing, func(d departure) bool {
		return !now.Before(d.latest) || !now.Before(d.until) && !late()
	})
	p := s.published.Load()
	if len(s.departing) > 0 {
		joined, err := s.prepare(p.set, s.departing)
		if err == nil {
			p = joined
		} else {
			s.log.Error("calls on their way to a fallback that is no more will not reach it", "error", err.Error())
		}
		next := slices.MinFunc(s.departing, func(a, b departure) int { return a.until.Compare(b.until) })
		s.departs.Reset(max(next.until.Sub(now), lateAgain))
	}
	admit(p)
	s.current.Store(s.withEjected(p))
	s.wake()
}

// departed shows what is left when something has departed.
func (s *Server) departed() {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	if s.published.Load() == nil {
		return
	}
	before := s.current.Load().access
	s.show(func(p *Publication) {
		// Where that is not what counts for reports, it has made way for the next policy, which is on its way.
		if s.admits.CompareAndSwap(before, p.access) {
			s.list()
		}
	})
}

// late tells whether there is a proxy with calls by other routes than those that it is to have now.
func (s *Server) late() bool {
	p, now := s.current.Load(), s.options.Now()
	return p != nil && slices.ContainsFunc(s.all(), func(st *stream) bool { return st.late(p, now) })
}

// late tells whether there may be calls by other routes than those of p: the proxy has not taken these yet, or
// not long ago. What it has refused it does not take.
func (st *stream) late(p *Publication, now time.Time) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	s := st.subs[xds.RouteType]
	if s == nil {
		return false
	}
	if s.inFlight || now.Sub(s.ackedAt) < xds.RouteToHost {
		return true
	}
	return slices.ContainsFunc(s.missing(p.shown(st.view)[xds.RouteType]), func(r *xds.Resource) bool {
		_, refused := s.refused[r.Name]
		return !refused
	})
}

// shown returns what proxies of a view get, if that is made already.
func (p *Publication) shown(view string) xds.Resources {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.views[view]
}
