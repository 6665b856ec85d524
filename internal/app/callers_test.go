package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
)

// shopsOwn is the mesh with a rule that only shop may call two of the upstreams.
var shopsOwn = strings.NewReplacer(
	"10.0.0.7, port: 80}]", "10.0.0.7, port: 80}], callers: [shop]",
	"10.0.0.8, port: 80}]", "10.0.0.8, port: 80}], callers: [shop]",
).Replace(mesh)

// restricted runs a control plane with the policy shopsOwn. It returns connections of a proxy that may call the upstreams,
// and of a proxy of another workload that has a valid certificate.
func restricted(t *testing.T) (s *served, friend, stranger *grpc.ClientConn) {
	t.Helper()
	o := options(t, shopsOwn)
	o.NodeIdentity = rule
	s = run(t, o)
	friend = s.dial(t, s.authority.client(t, "shop", shop))
	stranger = s.dial(t, s.authority.client(t, "thief", thief))
	_, err := configure(t, friend, proxy("shop-0", "shop"))
	must(t, err)
	return s, friend, stranger
}

// claims are the upstreams that a proxy of another workload lists over xDS in order to pass for a caller.
var claims = map[string][]any{"lists it": {"inline", "adaptive", "own"}, "lists nothing": nil}

// TestOnlyCallersGetAnUpstream shows that a proxy gets only upstreams that its workload may call, whatever it lists, and
// that operators see the upstreams that it lists in vain.
func TestOnlyCallersGetAnUpstream(t *testing.T) {
	for name, lists := range claims {
		t.Run(name, func(t *testing.T) {
			s, friend, stranger := restricted(t)
			for c, want := range map[*grpc.ClientConn]int{friend: 3, stranger: 1} {
				who := proxy("shop-0", "shop", lists...)
				if c == stranger {
					who = proxy("thief-0", "thief", lists...)
				}
				answer, err := configure(t, c, who)
				must(t, err)
				var got []string
				for _, r := range answer.GetResources() {
					got = append(got, r.GetName())
				}
				if len(got) != want || !slices.Contains(got, "own") {
					t.Errorf("%s got the clusters %v, want %d", who.GetId(), got, want)
				}
			}
			page := s.get(t, "/config")
			if shown := strings.Contains(page, "forbidden_upstreams"); shown != (lists != nil) {
				t.Errorf("/config shows forbidden upstreams: %t; the proxy lists %v:\n%s", shown, lists, page)
			}
			if logged := strings.Contains(s.log.String(), "may not call"); logged != (lists != nil) {
				t.Errorf("the log has forbidden upstreams: %t; the proxy lists %v", logged, lists)
			}
		})
	}
}

// TestOnlyCallersReport shows that a proxy with a valid certificate opens no breaker of an upstream that its workload may
// not call, and gets none of the breaker's probes.
func TestOnlyCallersReport(t *testing.T) {
	for name, lists := range claims {
		t.Run(name, func(t *testing.T) {
			s, friend, stranger := restricted(t)
			_, err := configure(t, stranger, proxy("thief-0", "thief", lists...))
			must(t, err)
			for range 6 {
				must(t, fail(t, stranger, "inline", ""))
			}
			must(t, report(t, stranger, proxy("thief-0", "thief"), 200, time.Now()))
			for _, upstream := range []string{"inline", "adaptive"} {
				if b := s.breaker(t, upstream); b.State != "closed" || b.Counts.Failures != 0 {
					t.Errorf("%s is %+v", upstream, b)
				}
			}
			for _, service := range []string{"ext_proc", "access_log"} {
				if page := s.get(t, "/metrics"); strings.Contains(page, fmt.Sprintf("refused_total{reason=\"upstream\",service=%q} 0", service)) {
					t.Errorf("%s counts no report as refused", service)
				}
			}
			eventually(t, "the reports of a caller count", func() error {
				must(t, fail(t, friend, "inline", ""))
				if b := s.breaker(t, "inline"); b.State == "closed" {
					return fmt.Errorf("%+v", b)
				}
				return nil
			})
			stay, stop := context.WithCancel(t.Context())
			defer stop()
			for range 40 {
				go keepAsking(stay, stranger)
			}
			granted := 0
			eventually(t, "callers probe", func() error {
				st, answer, err := ask(t, friend, "inline", "")
				must(t, err)
				if answer.GetImmediateResponse() != nil {
					return fmt.Errorf("rejected; %+v", s.breaker(t, "inline"))
				}
				must(t, st.CloseSend())
				if granted++; granted < 20 {
					return fmt.Errorf("%d probes of callers", granted)
				}
				return nil
			})
			if page := s.get(t, "/metrics"); !strings.Contains(page, `refused_total{reason="probes",service="ext_proc"} 0`) {
				t.Error("a stranger got a probe")
			}
		})
	}
}

// TestUnboundCallersAreLogged shows that the start warns once about callers that no certificate is bound to.
func TestUnboundCallersAreLogged(t *testing.T) {
	count := func(policy string, rules ...string) int {
		o := options(t, policy)
		o.NodeIdentity = rules
		return strings.Count(run(t, o).log.String(), "the policy says which workloads")
	}
	for name, test := range map[string]struct{ got, want int }{
		"without rules":                  {count(shopsOwn), 1},
		"with a rule that binds ids":     {count(shopsOwn, rule[0], "dns:{node}.proxies.example.com"), 1},
		"with rules that bind workloads": {count(shopsOwn, rule...), 0},
		"without callers":                {count(mesh), 0},
	} {
		if test.got != test.want {
			t.Errorf("%s: the log has the warning %d times, want %d", name, test.got, test.want)
		}
	}
}

// TestReportsOfAFormerCaller shows that a policy that removes a workload from the callers applies to its connected proxies.
func TestReportsOfAFormerCaller(t *testing.T) {
	o := options(t, strings.ReplaceAll(shopsOwn, "[shop]", "[shop, thief]"))
	o.NodeIdentity = rule
	s := run(t, o)
	former := s.dial(t, s.authority.client(t, "thief", thief))
	if answer, err := configure(t, former, proxy("thief-0", "thief")); err != nil || len(answer.GetResources()) != 3 {
		t.Fatalf("a caller got %d clusters, %v; want 3", len(answer.GetResources()), err)
	}
	must(t, fail(t, former, "inline", ""))
	if b := s.breaker(t, "inline"); b.Counts.Failures != 1 {
		t.Fatalf("the report of a caller did not count: %+v", b)
	}
	write(t, o.Policy[0], shopsOwn)
	eventually(t, "the policy is in force", func() error {
		if got := strings.Count(s.log.String(), "policy in force"); got < 2 {
			return fmt.Errorf("%d policies were in force", got)
		}
		return nil
	})
	for range 6 {
		must(t, fail(t, former, "inline", ""))
	}
	if b := s.breaker(t, "inline"); b.State != "closed" || b.Counts.Failures != 1 {
		t.Errorf("reports count after the policy has removed the workload: %+v", b)
	}
}

// TestReportsWhileAnUpstreamIsAdded shows that a policy that adds an upstream with callers leaves no moment in which
// another workload can report on it. The proxy calls all upstreams, or lists the new one in advance, and reports all the
// time.
func TestReportsWhileAnUpstreamIsAdded(t *testing.T) {
	for name, lists := range claims {
		t.Run(name, func(t *testing.T) {
			_, rest, _ := strings.Cut(shopsOwn, "---\n") // without inline
			rest = rest[:strings.LastIndex(rest, "---\napiVersion: breakwater.dev/v1alpha1\nkind: BreakerPolicy\nmetadata: {name: inline}")] +
				rest[strings.LastIndex(rest, "---\napiVersion"):]
			o := options(t, strings.ReplaceAll(rest, ", callers: [shop]", ""))
			o.NodeIdentity = rule
			s := run(t, o)
			stranger := s.dial(t, s.authority.client(t, "thief", thief))
			_, err := configure(t, stranger, proxy("thief-0", "thief", lists...))
			must(t, err)
			var more strings.Builder // makes the policy large, so that the steps of the reload take long
			for i := range 400 {
				fmt.Fprintf(&more, "---\napiVersion: breakwater.dev/v1alpha1\nkind: Upstream\nmetadata: {name: more-%d}\nspec: {endpoints: [{address: 10.0.0.9, port: 80}]}\n", i)
			}
			write(t, o.Policy[0], shopsOwn+more.String())
			eventually(t, "the policy is in force", func() error {
				for range 50 {
					must(t, fail(t, stranger, "inline", ""))
				}
				if got := strings.Count(s.log.String(), "policy in force"); got < 2 {
					return fmt.Errorf("%d policies were in force", got)
				}
				return nil
			})
			if b := s.breaker(t, "inline"); b.State != "closed" || b.Counts.Failures != 0 {
				t.Errorf("the breaker is %+v", b)
			}
		})
	}
}
