package publication

import (
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater.dev/endpoints"
	"breakwater.dev/policy"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/node"
)

// upstreams returns a set of n upstreams; every fifth is found by DNS.
func upstreams(n int, port uint16) *policy.Set {
	set := &policy.Set{}
	for i := range n {
		name := fmt.Sprintf("u%05d", i)
		u := &policy.Upstream{
			Name: name, Hosts: []string{name}, Protocol: policy.HTTP1, LoadBalancing: policy.LoadBalancing{Policy: policy.RoundRobin},
			Routes: []policy.Route{{Timeout: time.Second}},
		}
		if i%5 == 4 {
			u.DNS = &policy.DNS{Name: name + ".example", Port: port}
		} else {
			u.Endpoints = at(port)
		}
		set.Upstreams = append(set.Upstreams, u)
	}
	return set
}

// at returns one endpoint for each port.
func at(ports ...uint16) []policy.Endpoint {
	var all []policy.Endpoint
	for _, port := range ports {
		all = append(all, policy.Endpoint{Address: netip.AddrFrom4([4]byte{10, 0, 0, 7}), Port: port, Weight: 1})
	}
	return all
}

func addresses(all []policy.Endpoint) []netip.AddrPort {
	var out []netip.AddrPort
	for _, e := range all {
		out = append(out, netip.AddrPortFrom(e.Address, e.Port))
	}
	return out
}

// woken are proxies with some lists. It records for which of them there was news.
type woken struct {
	none
	views map[string]*View
	had   map[string]*Content
	names []string
}

func (w *woken) Wake(p *Publication) {
	for _, name := range slices.Sorted(maps.Keys(w.views)) {
		if c := p.Made(w.views[name]); c != w.had[name] {
			w.had[name], w.names = c, append(w.names, name)
		}
	}
}

func newPublisher(proxies Proxies) *Publisher {
	return NewPublisher(Options{
		Proxies: proxies, Alarm: none{}, XDS: xds.Options{Pool: &xds.Pool{}}, Now: func() time.Time { return time.Unix(0, 0) }, Log: slog.New(slog.DiscardHandler),
	})
}

func publish(t rapid.TB, p *Publisher, set *policy.Set, table *endpoints.Table) {
	t.Helper()
	next, err := p.Prepare(set, table)
	if err != nil {
		t.Fatal(err)
	}
	p.Publish(next)
}

var lists = [][]string{nil, {"u00000", "u00002"}, {"u00001", "u00004"}, {}}

// versions returns the endpoints of proxies with some lists, as name and version.
func versions(t rapid.TB, p *Publisher, lists [][]string) []string {
	t.Helper()
	var all []string
	for _, names := range lists {
		c, err := p.Current().For(p.Views.Join(node.Node{Listen: xds.DefaultListen, Upstreams: names}))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range c.Resources[xds.EndpointType].All() {
			all = append(all, fmt.Sprint(names, r.Name, r.Version))
		}
	}
	return all
}

// TestEverySequenceOfPublications: whatever changes, and whenever a proxy comes, its endpoints are the same as from a server
// that gets the last state at once.
func TestEverySequenceOfPublications(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, set, table := newPublisher(none{}), upstreams(0, 80), new(endpoints.Table)
		publish(t, p, set, table)
		for range rapid.IntRange(1, 20).Draw(t, "changes") {
			name := fmt.Sprintf("u%05d", rapid.IntRange(0, 6).Draw(t, "upstream"))
			all := at(rapid.SliceOfNDistinct(rapid.Uint16Range(80, 83), 0, 3, rapid.ID[uint16]).Draw(t, "ports")...)
			var err error
			switch rapid.IntRange(0, 3).Draw(t, "op") {
			case 0:
				set = upstreams(rapid.IntRange(0, 6).Draw(t, "n"), rapid.Uint16Range(80, 81).Draw(t, "port"))
				publish(t, p, set, endpoints.FromSet(set))
				table = endpoints.FromSet(set).EjectAs(table)
			case 1:
				err, table = p.PublishEndpoints(name, all), table.With(name, all)
			case 2:
				err, table = p.Eject(name, addresses(all)), table.Eject(name, addresses(all))
			default:
				versions(t, p, lists[rapid.IntRange(0, len(lists)-1).Draw(t, "proxy"):])
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		scratch := newPublisher(none{})
		publish(t, scratch, set, table)
		for _, name := range table.Ejecting() {
			content, _ := table.Upstream(name)
			if err := scratch.Eject(name, content.Ejected); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := versions(t, p, lists), versions(t, scratch, lists); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestProxiesAreWokenForChanges of what they get, and for nothing else.
func TestProxiesAreWokenForChanges(t *testing.T) {
	w := &woken{views: map[string]*View{}, had: map[string]*Content{}}
	p, set := newPublisher(w), upstreams(6, 80)
	for name, list := range map[string][]string{"all": nil, "one": {"u00001"}, "two": {"u00002", "u00004"}} {
		w.views[name] = p.Views.Join(node.Node{Listen: xds.DefaultListen, Upstreams: list})
	}
	change := func(what string, want ...string) {
		t.Helper()
		if !slices.Equal(w.names, want) {
			t.Errorf("%s wakes proxies %q, want %q", what, w.names, want)
		}
		w.names = nil
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// with returns the set with another upstream in the place of one.
	with := func(at int, alter func(*policy.Upstream)) *policy.Set {
		next := *set
		next.Upstreams = slices.Clone(set.Upstreams)
		u := *set.Upstreams[at]
		alter(&u)
		next.Upstreams[at] = &u
		return &next
	}
	check(p.Eject("u00000", addresses(at(80))))
	change("an ejection before the first policy")
	publish(t, p, set, endpoints.FromSet(set))
	change("a policy", "all", "one", "two")
	publish(t, p, set, endpoints.FromSet(set))
	change("the same policy")
	set = with(1, func(u *policy.Upstream) { u.Origin.Line++ })
	publish(t, p, set, endpoints.FromSet(set))
	change("a policy that means the same")
	set = with(1, func(u *policy.Upstream) { u.Routes = []policy.Route{{Timeout: time.Minute}} })
	publish(t, p, set, endpoints.FromSet(set))
	change("another timeout", "all", "one")
	set = with(4, func(u *policy.Upstream) { u.Hosts = []string{"other"} })
	publish(t, p, set, endpoints.FromSet(set))
	change("another host", "all", "two")
	check(p.PublishEndpoints("u00001", at(80)))
	change("the endpoint that is there")
	check(p.PublishEndpoints("u00001", at(81)))
	change("another endpoint", "all", "one")
	check(p.Eject("u00001", addresses(at(81))))
	change("an ejection", "all", "one")
	check(p.Eject("u00001", addresses(at(81))))
	change("the same ejection")
	check(p.Eject("u00004", addresses(at(81))))
	change("an upstream that is found by DNS")
	check(p.PublishEndpoints("unheard-of", at(81)))
	change("an unknown upstream")
}

// BenchmarkEndpoints changes the endpoints of one upstream, and has a proxy that gets all upstreams look at its resources.
func BenchmarkEndpoints(b *testing.B) {
	for _, n := range []int{10, 1_000, 10_000} {
		p, set := newPublisher(none{}), upstreams(n, 80)
		publish(b, p, set, endpoints.FromSet(set))
		view := p.Views.Join(node.Node{Listen: xds.DefaultListen})
		for _, looks := range []bool{false, true} {
			b.Run(fmt.Sprintf("upstreams=%d/looks=%t", n, looks), func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if err := p.PublishEndpoints("u00007", at(uint16(80+i%2), 90)); err != nil {
						b.Fatal(err)
					}
					if looks {
						if _, err := p.Current().For(view); err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		}
	}
}

// BenchmarkOneUpstreamOfMany publishes policies that differ in one upstream.
func BenchmarkOneUpstreamOfMany(b *testing.B) {
	for _, n := range []int{10, 1_000, 10_000} {
		b.Run(fmt.Sprintf("upstreams=%d", n), func(b *testing.B) {
			p := newPublisher(none{})
			p.Views.Join(node.Node{Listen: xds.DefaultListen})
			sets := [2]*policy.Set{upstreams(n, 80), nil}
			other, u := *sets[0], *sets[0].Upstreams[7]
			other.Upstreams, u.Routes = slices.Clone(sets[0].Upstreams), []policy.Route{{Timeout: time.Minute}}
			other.Upstreams[7], sets[1] = &u, &other
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				publish(b, p, sets[i%2], endpoints.FromSet(sets[i%2]))
			}
		})
	}
}
