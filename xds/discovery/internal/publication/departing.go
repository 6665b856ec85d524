package publication

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"breakwater.dev/policy"
	"breakwater.dev/xds"
)

// departure is a host of an upstream that took calls over, where the policy no longer has the host, or no longer sends
// these calls there. Such calls go through their proxy once more, and choose a route there by this host. Calls that set
// out by the routes of before would find none, so the host stays for a while.
type departure struct {
	upstream *policy.Upstream // as it was
	host     string
	until    time.Time // or longer, while a proxy is late, see [Proxies]
	latest   time.Time // the end in any case
	callers  []string  // the workloads whose calls the upstream took over; empty: all workloads
}

const (
	// MostLate is how long a departure waits at most for proxies that are late. Routes are sent when the proxy has taken
	// its clusters, for which a busy proxy may need a while.
	MostLate = 10 * xds.RouteToHost
	// LateAgain is how long after a proxy was found to be late to look again.
	LateAgain = 250 * time.Millisecond
)

// departures returns the departures when next replaces before, which is nil at first. The ones so far are departing.
func departures(before *policy.Set, departing []departure, next *policy.Set, now time.Time) []departure {
	var all []departure
	add := func(d departure) {
		if u := xds.Find(next, d.upstream.Name); serves(next, d.host) && !(u != nil && answers(u, d.host)) {
			return // the host belongs to another upstream now
		}
		if i := slices.IndexFunc(all, func(o departure) bool { return o.host == d.host }); i >= 0 {
			all[i].callers = either(all[i].callers, d.callers)
			return
		}
		all = append(all, d)
	}
	if before != nil {
		until, latest := now.Add(xds.RouteToHost), now.Add(MostLate)
		for _, u := range before.Upstreams {
			for _, to := range fallbacks(u) {
				if !fallsBack(next, u.Name, to) || !servedBy(next, to) {
					add(departure{xds.Find(before, to.Name), to.Host, until, latest, u.Callers})
				}
			}
		}
	}
	for _, d := range departing {
		add(d)
	}
	return all
}

// fallbacks returns the upstreams that take over calls to an upstream.
func fallbacks(u *policy.Upstream) []policy.FallbackUpstream {
	var all []policy.FallbackUpstream
	for i := range u.Routes {
		if b := u.Routes[i].Breaker; b != nil && b.Fallback.Upstream != nil {
			all = append(all, *b.Fallback.Upstream)
		}
	}
	return all
}

// fallsBack reports whether a set has calls to an upstream taken over that way.
func fallsBack(set *policy.Set, name string, to policy.FallbackUpstream) bool {
	u := xds.Find(set, name)
	return u != nil && slices.Contains(fallbacks(u), to)
}

// either returns the workloads that two lists of callers name; none: every workload.
func either(a, b []string) []string {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	both := slices.Concat(a, b)
	slices.Sort(both)
	return slices.Compact(both)
}

// servedBy reports whether a set has an upstream with the host of a fallback: the upstream that takes over, in most cases.
func servedBy(set *policy.Set, to policy.FallbackUpstream) bool {
	u := xds.Find(set, to.Name)
	return u != nil && answers(u, to.Host) || serves(set, to.Host)
}

// serves reports whether a set has an upstream with a host.
func serves(set *policy.Set, host string) bool {
	return slices.ContainsFunc(set.Upstreams, func(u *policy.Upstream) bool { return answers(u, host) })
}

// answers reports whether an upstream has a host, by name or by pattern.
func answers(u *policy.Upstream, host string) bool {
	reaches := func(pattern string) bool {
		suffix, any := strings.CutPrefix(pattern, "*")
		prefix, anyEnd := strings.CutSuffix(pattern, "*")
		return pattern == host || any && strings.HasSuffix(host, suffix) || anyEnd && strings.HasPrefix(host, prefix)
	}
	return u.Protocol != policy.TCP && slices.ContainsFunc(u.Hosts, reaches)
}

// withDeparting returns the set joined by departing upstreams, which have no breakers.
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

// search returns at which index an upstream is in a set, or would be, and whether it is there.
func search(set *policy.Set, name string) (at int, there bool) {
	return slices.BinarySearchFunc(set.Upstreams, name, func(u *policy.Upstream, name string) int { return cmp.Compare(u.Name, name) })
}

// remaining returns the departures that are not over yet. The function late reports whether a proxy is late.
func remaining(departing []departure, now time.Time, late func() bool) []departure {
	return slices.DeleteFunc(departing, func(d departure) bool {
		return !now.Before(d.latest) || !now.Before(d.until) && !late()
	})
}

// nextLook returns after what time the next departure may be over. There must be one.
func nextLook(departing []departure, now time.Time) time.Duration {
	next := slices.MinFunc(departing, func(a, b departure) int { return a.until.Compare(b.until) })
	return max(next.until.Sub(now), LateAgain)
}
