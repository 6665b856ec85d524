package xds

import (
	"slices"
	"strings"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"breakwater.dev/policy"
	"breakwater.dev/wire"
)

// routesText writes routes as their upstreams with hosts, and the host that takes over: "a: a, a.shop > b".
func routesText(list *List) []string {
	var lines []string
	for _, r := range list.All() {
		vh := r.Message().(*routev3.VirtualHost)
		line := strings.TrimPrefix(vh.Name, wire.VirtualHost("")) + ": " + strings.Join(vh.Domains, ", ")
		for _, route := range vh.Routes {
			if to := route.GetRoute(); to.GetCluster() == wire.EgressCluster && strings.HasSuffix(route.Name, wire.RouteRejected.Suffix()) {
				line += " > " + to.GetHostRewriteLiteral()
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// stepSet returns a set of upstreams, written as in routesText.
func stepSet(lines ...string) *policy.Set {
	set := &policy.Set{}
	for _, line := range lines {
		name, rest, _ := strings.Cut(line, ": ")
		hosts, to, falls := strings.Cut(rest, " > ")
		u := webUpstream(name, 80, policy.HTTP1, policy.Route{})
		u.Hosts = strings.Split(hosts, ", ")
		if falls {
			b := guardedBy(name, true)
			b.Fallback.Upstream = &policy.FallbackUpstream{Name: to, Host: to}
			u.Routes[0].Breaker = b
		}
		set.Upstreams = append(set.Upstreams, u)
	}
	slices.SortFunc(set.Upstreams, func(a, b *policy.Upstream) int { return strings.Compare(a.Name, b.Name) })
	return set
}

// hostsOf returns the virtual hosts of upstreams, written as in routesText.
func hostsOf(t rapid.TB, pool *Pool, lines ...string) *List {
	t.Helper()
	tr, err := NewTranslation(stepSet(lines...), Options{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	rs, err := tr.For(nil, DefaultListen)
	if err != nil {
		t.Fatal(err)
	}
	return rs[VirtualHostType]
}

func TestStep(t *testing.T) {
	tests := map[string]struct{ had, next, step []string }{ // no step: next at once
		"nothing falls back":      {[]string{"a: a"}, []string{"a: a", "b: b"}, nil},
		"the same fallback":       {[]string{"a: a > b", "b: b"}, []string{"a: a, x > b", "b: b"}, nil},
		"no fallback any more":    {[]string{"a: a > b", "b: b"}, []string{"a: a"}, nil},
		"the fallback of another": {[]string{"a: a", "b: b > c", "c: c"}, []string{"a: a > c", "b: b", "c: c"}, nil},
		"an upstream that was there": {
			[]string{"a: a", "b: b"}, []string{"a: a > b", "b: b"},
			[]string{"*: *", "a: a", "b: b"},
		},
		"a new upstream": {
			[]string{"a: a > b", "b: b"}, []string{"a: a > c", "c: c"},
			[]string{"*: *", "a: a > b", "b: b", "c: c"},
		},
		"a new upstream with another host": {
			[]string{"a: a"}, []string{"a: a > c", "c: c, d"},
			[]string{"*: *", "a: a", "c: c"},
		},
		"a new chain": {
			[]string{"a: a"}, []string{"a: a > b", "b: b > c", "c: c"},
			[]string{"*: *", "a: a", "c: c"},
		},
		"a chain whose end is there": {
			[]string{"a: a", "c: c"}, []string{"a: a > b", "b: b > c", "c: c"},
			[]string{"*: *", "a: a", "b: b > c", "c: c"},
		},
		"a host more": {
			[]string{"a: a", "b: x"}, []string{"a: a > b", "b: b, x"},
			[]string{"*: *", "a: a", "b: x, b"},
		},
		"a host of another": {
			[]string{"a: a", "x: b, x"}, []string{"a: a > b", "b: b", "x: x"},
			[]string{"*: *", "a: a", "b: b", "x: x"},
		},
		"the only host of another": {
			[]string{"a: a", "x: b"}, []string{"a: a > b", "b: b"},
			[]string{"*: *", "a: a", "b: b"},
		},
		"a host that a pattern had": {
			[]string{"a: a", "x: *"}, []string{"a: a > b", "b: b", "x: *"},
			[]string{"a: a", "b: b", "x: *"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			pool := &Pool{}
			had, next := hostsOf(t, pool, tt.had...), hostsOf(t, pool, tt.next...)
			step, err := Step(pool, had, next)
			if err != nil {
				t.Fatal(err)
			}
			if tt.step == nil {
				if step != next {
					t.Fatalf("got %q, want the next routes", routesText(step))
				}
				return
			}
			if diff := cmp.Diff(tt.step, routesText(step)); diff != "" {
				t.Fatalf("the step (-want +got)\n%s", diff)
			}
			if again, err := Step(pool, had, next); err != nil || again != step {
				t.Errorf("asked again, it is another: %v", err)
			}
		})
	}
}

// TestStepsLead: on the way from any routes to any others, a host to which routes begin to send calls leads to its upstream in
// the routes before, and no other host of these is lost.
func TestStepsLead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pool := &Pool{}
		draw := func(label string) *List {
			var lines, there []string
			for _, name := range []string{"d", "c", "b", "a"} {
				hosts := rapid.SampledFrom([]string{"", name, name + ", y" + name, "z" + name + ", " + name}).Draw(t, label)
				if hosts == "" {
					continue
				}
				line := name + ": " + hosts
				if to := rapid.IntRange(0, len(there)).Draw(t, label); to < len(there) {
					line += " > " + there[to]
				}
				lines, there = append(lines, line), append(there, name)
			}
			return hostsOf(t, pool, lines...)
		}
		had, next := draw("had"), draw("next")
		for steps := 0; ; steps++ {
			step, err := Step(pool, had, next)
			switch {
			case err != nil:
				t.Fatal(err)
			case steps > 4:
				t.Fatalf("%d steps led to %q", steps, routesText(had))
			case step == had:
				step = next
			}
			checkLeads(t, had, step)
			if step == next {
				return
			}
			for _, r := range had.All() {
				for _, host := range r.Hosts {
					if !leads(step, host, r.Name) {
						t.Fatalf("%q of %q is gone on the way", host, r.Name)
					}
				}
			}
			had = step
		}
	})
}

// checkLeads wants each host to which next begins to send calls to lead to its upstream in had. An upstream has the name of
// one of its hosts.
func checkLeads(t *rapid.T, had, next *List) {
	for host := range freshTakeovers(had, next) {
		if !leads(had, host, wire.VirtualHost(host)) {
			t.Fatalf("%q is taken over to from %q to %q", host, routesText(had), routesText(next))
		}
	}
}
