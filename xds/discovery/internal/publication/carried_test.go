package publication

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater.dev/endpoints"
	"breakwater.dev/policy"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/node"
)

// mesh is a policy that changes one upstream at a time, and leaves all others as they are.
type mesh struct{ set *policy.Set }

// change replaces, adds or removes one upstream.
func (m *mesh) change(t *rapid.T) {
	name := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", last}).Draw(t, "name")
	next := &policy.Set{Upstreams: slices.Clone(m.set.Upstreams)}
	at, there := slices.BinarySearchFunc(next.Upstreams, name, func(u *policy.Upstream, name string) int { return cmp.Compare(u.Name, name) })
	if there {
		next.Upstreams = slices.Delete(next.Upstreams, at, at+1)
	}
	if name == last || rapid.IntRange(0, 3).Draw(t, "stays") > 0 {
		next.Upstreams = slices.Insert(next.Upstreams, at, drawUpstream(t, name))
	}
	m.set = next
}

// last is the upstream that takes over from others, and that is always there.
const last = "z"

func drawUpstream(t *rapid.T, name string) *policy.Upstream {
	u := upstreams(1, rapid.Uint16Range(80, 81).Draw(t, "port")).Upstreams[0]
	u.Name, u.Hosts = name, []string{name}
	u.Callers = rapid.SampledFrom([][]string{nil, {"shop"}, {"other", "shop"}}).Draw(t, "callers")
	u.Routes[0].Timeout = rapid.SampledFrom([]time.Duration{time.Second, time.Minute}).Draw(t, "timeout")
	kind := rapid.IntRange(0, 4).Draw(t, "kind")
	switch {
	case name == last:
	case kind == 0:
		u.Endpoints, u.DNS = nil, &policy.DNS{Name: "example.org", Port: 80}
	case kind == 1:
		u.Protocol, u.Hosts, u.Port = policy.TCP, nil, 7000+uint16(name[0])
	case kind == 2:
		u.Routes[0].Breaker = &policy.Breaker{
			Fallback: policy.Fallback{Response: policy.Response{Status: 503}, Upstream: &policy.FallbackUpstream{Name: last, Host: last}},
		}
	}
	return u
}

// TestContentIsAsIfItWereNew: whichever content a publication takes over from the one before, each proxy gets the same
// resources and may make the same calls as if everything had been made for it. A view whose resources stay keeps its content.
func TestContentIsAsIfItWereNew(t *testing.T) {
	kept := 0
	rapid.Check(t, func(t *rapid.T) {
		p, m := newPublisher(none{}), &mesh{set: &policy.Set{Upstreams: []*policy.Upstream{drawUpstream(t, last)}}}
		var views []*View
		for _, list := range [][]string{nil, {}, {"a"}, {"b", "d"}, {"e", "unheard-of"}} {
			for _, workload := range []string{"shop", "other", "third"} {
				views = append(views, p.Views.Join(node.Node{Cluster: workload, Listen: xds.DefaultListen, Upstreams: list}))
			}
		}
		for range rapid.IntRange(1, 15).Draw(t, "policies") {
			before := p.Current()
			m.change(t)
			publish(t, p, m.set, endpoints.FromSet(m.set))
			now := p.Current()
			fresh := &Publication{set: m.set, joined: now.joined, departing: now.departing, table: p.table, xds: xds.Options{Pool: &xds.Pool{}}}
			if err := fresh.make(nil, views); err != nil {
				t.Fatal(err)
			}
			for _, v := range views {
				got, want, had := now.Made(v), fresh.Made(v), before.made(v)
				if !got.same(want) {
					t.Fatalf("%+v gets %s, want %s", v.node, shown(got), shown(want))
				}
				if had != nil && had.same(want) != (had == got) {
					t.Fatalf("%+v has the same resources as before: %t; the same content: %t", v.node, had.same(want), had == got)
				}
				if had == got {
					kept++
				}
			}
		}
	})
	if kept == 0 {
		t.Error("no content was taken over")
	}
}

func shown(c *Content) string {
	text := fmt.Sprintf("calls %+v:", *c.Calls)
	for _, typeURL := range xds.Types {
		for _, r := range c.Resources[typeURL].All() {
			text += fmt.Sprintf(" %s@%s", r.Name, r.Version)
		}
	}
	return text
}
