package discovery

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"breakwater.dev/policy"
	"breakwater.dev/xds"
)

// departure is a host of an upstream that took calls over, and that the policy has no more. Such
// calls go through their proxy once more, and choose a route there by this host: those that
// set out by the routes of before would find none.
type departure struct {
	upstream *policy.Upstream // as it was
	host     string
	until    time.Time
	callers  []string // the workloads that may have such calls; empty: all
}

// departures are those there are when next replaces what is published.
func (s *Server) departures(next *policy.Set) []departure {
	var all []departure
	add := func(d departure) {
		if serves(next, d.host) {
			return
		}
		if i := slices.IndexFunc(all, func(o departure) bool { return o.host == d.host }); i >= 0 {
			all[i].callers = either(all[i].callers, d.callers)
			return
		}
		all = append(all, d)
	}
	if s.published != nil {
		until := s.options.Now().Add(xds.RouteToHost)
		for _, u := range s.published.set.Upstreams {
			for i := range u.Routes {
				if b := u.Routes[i].Breaker; b != nil && b.Fallback.Upstream != nil {
					to := find(s.published.set, b.Fallback.Upstream.Name)
					add(departure{to, b.Fallback.Upstream.Host, until, either(to.Callers, u.Callers)})
				}
			}
		}
	}
	for _, d := range s.departing {
		add(d)
	}
	return all
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
	reaches := func(pattern string) bool {
		suffix, any := strings.CutPrefix(pattern, "*")
		prefix, anyEnd := strings.CutSuffix(pattern, "*")
		return pattern == host || any && strings.HasSuffix(host, suffix) || anyEnd && strings.HasPrefix(host, prefix)
	}
	return slices.ContainsFunc(set.Upstreams, func(u *policy.Upstream) bool {
		return u.Protocol != policy.TCP && slices.ContainsFunc(u.Hosts, reaches)
	})
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
		if stays { // under other hosts
			u := *joined.Upstreams[at]
			u.Hosts = append(slices.Clone(u.Hosts), d.host)
			if _, stays := search(set, u.Name); !stays { // it departs under two hosts
				u.Callers = either(u.Callers, d.callers)
			}
			joined.Upstreams[at] = &u
			continue
		}
		u := *d.upstream
		u.Hosts, u.Routes, u.Callers = []string{d.host}, slices.Clone(u.Routes), d.callers
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
// that goes in time. The caller holds publishing.
func (s *Server) show() {
	now := s.options.Now()
	s.departing = slices.DeleteFunc(s.departing, func(d departure) bool { return !now.Before(d.until) })
	p := s.published
	if len(s.departing) > 0 {
		joined, err := s.prepare(p.set, s.departing)
		if err == nil {
			p = joined
		} else {
			s.log.Error("calls on their way to a fallback that is no more will not reach it", "error", err.Error())
		}
		next := slices.MinFunc(s.departing, func(a, b departure) int { return a.until.Compare(b.until) })
		s.departs.Reset(next.until.Sub(now))
	}
	s.Admit(p)
	s.current.Store(s.withEjected(p))
	s.wake()
}

// departed shows what is left when something has departed.
func (s *Server) departed() {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	if s.published != nil {
		s.show()
	}
}
