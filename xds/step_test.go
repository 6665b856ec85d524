package xds

import (
	"strings"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"breakwater.dev/policy"
	"breakwater.dev/wire"
)

// routesText writes routes as their upstreams with hosts, and the host that takes over: "a: a, a.shop > b".
func routesText(r *Resource) []string {
	var lines []string
	for _, vh := range r.Message.(*routev3.RouteConfiguration).VirtualHosts {
		line := vh.Name + ": " + strings.Join(vh.Domains, ", ")
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
	return set
}

func egressRoutes(t interface{ Fatal(...any) }, tr *Translation) *Resource {
	rs, _, err := tr.For(nil, DefaultListen)
	if err != nil {
		t.Fatal(err)
	}
	return rs[RouteType][0]
}

func TestStep(t *testing.T) {
	tests := map[string]struct{ had, next, step []string }{ // no step: next at once
		"nothing falls back":      {[]string{"a: a"}, []string{"a: a", "b: b"}, nil},
		"the same fallback":       {[]string{"a: a > b", "b: b"}, []string{"a: a, x > b", "b: b"}, nil},
		"no fallback any more":    {[]string{"a: a > b", "b: b"}, []string{"a: a"}, nil},
		"the fallback of another": {[]string{"a: a", "b: b > c", "c: c"}, []string{"a: a > c", "b: b", "c: c"}, nil},
		"an upstream that was there": {
			[]string{"a: a", "b: b"}, []string{"a: a > b", "b: b"},
			[]string{"a: a", "b: b", "*: *"},
		},
		"a new upstream": {
			[]string{"a: a > b", "b: b"}, []string{"a: a > c", "c: c"},
			[]string{"a: a > b", "b: b", "*: *", "c: c"},
		},
		"a new upstream with another host": {
			[]string{"a: a"}, []string{"a: a > c", "c: c, d"},
			[]string{"a: a", "*: *", "c: c"},
		},
		"a new chain": {
			[]string{"a: a"}, []string{"a: a > b", "b: b > c", "c: c"},
			[]string{"a: a", "*: *", "c: c"},
		},
		"a chain whose end is there": {
			[]string{"a: a", "c: c"}, []string{"a: a > b", "b: b > c", "c: c"},
			[]string{"a: a", "c: c", "*: *", "b: b > c"},
		},
		"a host more": {
			[]string{"a: a", "b: x"}, []string{"a: a > b", "b: b, x"},
			[]string{"a: a", "b: x, b", "*: *"},
		},
		"a host of another": {
			[]string{"a: a", "x: b, x"}, []string{"a: a > b", "b: b", "x: x"},
			[]string{"a: a", "x: x", "*: *", "b: b"},
		},
		"the only host of another": {
			[]string{"a: a", "x: b"}, []string{"a: a > b", "b: b"},
			[]string{"a: a", "*: *", "b: b"},
		},
		"a host that a pattern had": {
			[]string{"a: a", "x: *"}, []string{"a: a > b", "b: b", "x: *"},
			[]string{"a: a", "x: *", "b: b"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tr := NewTranslation(stepSet(tt.next...))
			had, next := egressRoutes(t, NewTranslation(stepSet(tt.had...))), egressRoutes(t, tr)
			step, err := tr.Step(had, next)
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
			if again, err := tr.Step(had, next); err != nil || again != step {
				t.Errorf("asked again, it is another: %v", err)
			}
		})
	}
}

// TestStepKeepsTheLargerResponses: Envoy refuses routes with a direct response that is larger than they say.
func TestStepKeepsTheLargerResponses(t *testing.T) {
	large := func(lines ...string) *Translation {
		set := stepSet(lines...)
		set.Upstreams[len(set.Upstreams)-1].Routes[0].Breaker.Fallback.Response.Body = strings.Repeat("x", 10_000)
		return NewTranslation(set)
	}
	for name, tt := range map[string]struct{ had, next *Translation }{
		"before": {large("a: a > b", "b: b", "d: d > b"), NewTranslation(stepSet("a: a > c", "c: c"))},
		"after":  {NewTranslation(stepSet("a: a > b", "b: b")), large("a: a > c", "c: c", "d: d > c")},
	} {
		t.Run(name, func(t *testing.T) {
			step, err := tt.next.Step(egressRoutes(t, tt.had), egressRoutes(t, tt.next))
			if err != nil {
				t.Fatal(err)
			}
			if got := step.Message.(*routev3.RouteConfiguration).MaxDirectResponseBodySizeBytes.GetValue(); got < 10_000 {
				t.Errorf("responses may have %d bytes, want 10,000", got)
			}
		})
	}
}

// TestStepsLead: on the way from any routes to any others, a host to which routes begin to send calls leads to its upstream in
// the routes before, and no other host of these is lost.
func TestStepsLead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) *Translation {
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
			return NewTranslation(stepSet(lines...))
		}
		tr := draw("next")
		had, next := egressRoutes(t, draw("had")), egressRoutes(t, tr)
		for steps := 0; ; steps++ {
			step, err := tr.Step(had, next)
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
			before, between := had.Message.(*routev3.RouteConfiguration), step.Message.(*routev3.RouteConfiguration)
			for _, vh := range before.VirtualHosts {
				for _, host := range vh.Domains {
					if !leads(between, host, vh.Name) {
						t.Fatalf("%q of %q is gone on the way", host, vh.Name)
					}
				}
			}
			had = step
		}
	})
}

// checkLeads wants each host to which next begins to send calls to lead to its upstream in had.
func checkLeads(t *rapid.T, had, next *Resource) {
	before, after := had.Message.(*routev3.RouteConfiguration), next.Message.(*routev3.RouteConfiguration)
	for host := range takeoverHosts(after) {
		if !takeoverHosts(before)[host] && !leads(before, host, host) {
			t.Fatalf("%q is taken over to from %q to %q", host, routesText(had), routesText(next))
		}
	}
}
