package xds

import (
	"fmt"
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"breakwater.dev/xds/internal/resource"
)

// Step returns the virtual hosts that a proxy with the virtual hosts had must get next on its way to the virtual hosts next. A
// request that another upstream takes over comes in once more, maybe on another worker of the proxy, and each worker starts
// to use new routes at its own moment. So all workers have to know a host before any of them sends requests to it.
//
// Step returns next if it sends requests to no host that had does not send requests to. It returns had itself if all such
// hosts lead to the same upstreams already. Otherwise it returns had with those hosts added; in a chain of fallbacks the
// last hosts come first. Equal arguments have one result, which proxies share.
func Step(pool *Pool, had, next *List) (*List, error) {
	fresh := freshTakeovers(had, next)
	if len(fresh) == 0 {
		return next, nil
	}
	type key struct{ from string }
	type result struct {
		list *List
		err  error
	}
	r := resource.Remember(next, key{had.Version()}, func() result {
		list, err := step(pool, had, next, fresh)
		return result{list, err}
	})
	if r.list.Same(had) {
		return had, r.err
	}
	return r.list, r.err
}

// freshTakeovers returns the hosts to which next sends requests and had does not.
func freshTakeovers(had, next *List) map[string]bool {
	var fresh map[string]bool
	for _, r := range next.Since(had).Changed {
		for _, host := range r.Takeovers {
			if fresh == nil {
				fresh = map[string]bool{}
			}
			fresh[host] = true
		}
	}
	if fresh == nil {
		return nil
	}
	for _, r := range had.All() {
		for _, host := range r.Takeovers {
			delete(fresh, host)
		}
	}
	return fresh
}

func step(pool *Pool, had, next *List, fresh map[string]bool) (*List, error) {
	hosts := map[string]bool{}
	for _, r := range next.All() {
		for _, host := range r.Hosts {
			if fresh[host] && !leads(had, host, r.Name) {
				hosts[host] = true
			}
		}
	}
	missing, err := lastOfChains(next, hosts)
	if err != nil || len(missing) == 0 {
		return had, err
	}
	return withHosts(pool, had, missing)
}

// Hold returns next, in which the virtual hosts stay as in had that would send requests to hosts which had does not know. A
// proxy that refuses such a host gets all others so.
func Hold(pool *Pool, had, next *List) *List {
	fresh := freshTakeovers(had, next)
	for _, r := range next.All() {
		for _, host := range r.Hosts {
			if fresh[host] && leads(had, host, r.Name) {
				delete(fresh, host)
			}
		}
	}
	var held []*Resource
	for _, r := range next.Since(had).Changed {
		before := had.Find(r.Name)
		if before != nil && slices.Equal(before.Hosts, r.Hosts) && slices.ContainsFunc(r.Takeovers, func(host string) bool { return fresh[host] }) {
			held = append(held, before)
		}
	}
	return next.With(pool, held, nil)
}

// leads reports whether requests to a host, which is not a pattern, go to a virtual host.
func leads(list *List, host, name string) bool {
	r := list.Find(name)
	return r != nil && slices.Contains(r.Hosts, host)
}

// lastOfChains returns the virtual hosts of a list that have any of the hosts, with only these hosts. It leaves out the ones
// whose requests other hosts would take over: those must be there first.
func lastOfChains(list *List, hosts map[string]bool) ([]*Resource, error) {
	var all []*Resource
	for _, r := range list.All() {
		some := slices.DeleteFunc(slices.Clone(r.Hosts), func(host string) bool { return !hosts[host] })
		if len(some) == 0 || slices.ContainsFunc(r.Takeovers, func(host string) bool { return hosts[host] }) {
			continue
		}
		with, err := serving(r, some)
		if err != nil {
			return nil, err
		}
		all = append(all, with)
	}
	return all, nil
}

// withHosts returns had with more virtual hosts, and takes the hosts of these from others.
func withHosts(pool *Pool, had *List, more []*Resource) (*List, error) {
	taken, added := map[string]bool{}, map[string]*Resource{}
	for _, r := range more {
		added[r.Name] = r
		for _, host := range r.Hosts {
			taken[host] = true
		}
	}
	var all []*Resource
	for _, r := range had.All() {
		hosts := slices.DeleteFunc(slices.Clone(r.Hosts), func(host string) bool { return taken[host] })
		if with := added[r.Name]; with != nil { // the upstream is there, with other hosts
			hosts = append(hosts, with.Hosts...)
			delete(added, r.Name)
		}
		if len(hosts) == 0 {
			continue
		}
		with, err := serving(r, hosts)
		if err != nil {
			return nil, err
		}
		all = append(all, with)
	}
	for _, r := range more {
		if added[r.Name] != nil {
			all = append(all, r)
		}
	}
	return pool.List(all), nil
}

// serving returns a virtual host that serves other hosts.
func serving(r *Resource, hosts []string) (*Resource, error) {
	if slices.Equal(r.Hosts, hosts) {
		return r, nil
	}
	vh := r.Message().(*routev3.VirtualHost)
	vh.Domains = hosts
	with, err := resource.Make(r.Name, vh)
	if err != nil {
		return nil, fmt.Errorf("translating routes to the hosts of fallbacks: %w", err)
	}
	with.Hosts, with.Takeovers = hosts, r.Takeovers
	return with, nil
}
