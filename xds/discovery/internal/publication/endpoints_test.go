package publication

import (
	"fmt"
	"log/slog"
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

// woken are no proxies. It records for which upstreams proxies were woken; "*" is for all proxies.
type woken struct {
	none
	names []string
}

func (w *woken) Wake()               { w.names = append(w.names, "*") }
func (w *woken) WakeFor(name string) { w.names = append(w.names, name) }

func newPublisher(proxies Proxies) *Publisher {
	return NewPublisher(proxies, none{}, func() time.Time { return time.Unix(0, 0) }, slog.New(slog.DiscardHandler))
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
		n := node.Node{Listen: xds.DefaultListen, Upstreams: names}
		rs, err := p.Current().Resources(n.Listen, p.Current().Access().CallsOf(n))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rs[xds.EndpointType] {
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

// TestProxiesAreWokenForChanges, and for nothing else.
func TestProxiesAreWokenForChanges(t *testing.T) {
	w := &woken{}
	p, set := newPublisher(w), upstreams(6, 80)
	change := func(what string, want ...string) {
		t.Helper()
		if !slices.Equal(w.names, want) {
			t.Errorf("%s wakes proxies for %q, want %q", what, w.names, want)
		}
		w.names = nil
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(p.Eject("u00000", addresses(at(80))))
	change("an ejection before the first policy")
	publish(t, p, set, endpoints.FromSet(set))
	change("a policy", "*")
	check(p.PublishEndpoints("u00001", at(80)))
	change("the endpoint that is there")
	check(p.PublishEndpoints("u00001", at(81)))
	change("another endpoint", "u00001")
	check(p.Eject("u00001", addresses(at(81))))
	change("an ejection", "u00001")
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
		calls := p.Current().Access().calls(nil)
		for _, looks := range []bool{false, true} {
			b.Run(fmt.Sprintf("upstreams=%d/looks=%t", n, looks), func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if err := p.PublishEndpoints("u00007", at(uint16(80+i%2), 90)); err != nil {
						b.Fatal(err)
					}
					if looks {
						if _, err := p.Current().Resources(xds.DefaultListen, calls); err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		}
	}
}
