package publication

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"breakwater.dev/endpoints"
	"breakwater.dev/policy"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/node"
)

func viewOf(n node.Node) string { return newAccess(&policy.Set{}, nil).CallsOf(n).View(n.Listen) }

// No node may get the view of another one by a crafted introduction.
func TestViewsDoNotCollide(t *testing.T) {
	nodes := []node.Node{
		{Listen: xds.DefaultListen},
		{Listen: xds.DefaultListen, Upstreams: []string{}},
		{Listen: xds.DefaultListen, Upstreams: []string{""}},
		{Listen: xds.DefaultListen, Upstreams: []string{"a", "b"}},
		{Listen: xds.DefaultListen, Upstreams: []string{"a,b"}},
		{Listen: xds.DefaultListen, Upstreams: []string{`a", "b`}},
	}
	seen := map[string]node.Node{}
	for _, n := range nodes {
		if other, ok := seen[viewOf(n)]; ok {
			t.Errorf("%q and %q have one view", n.Upstreams, other.Upstreams)
		}
		seen[viewOf(n)] = n
	}
}

// TestThePolicyBoundsItsAccess: the access remembers each workload that upstreams name, and all others as one.
func TestThePolicyBoundsItsAccess(t *testing.T) {
	a := newAccess(&policy.Set{Upstreams: []*policy.Upstream{
		{Name: "a"}, {Name: "b", Callers: []string{"shop", "all"}}, {Name: "c", Callers: []string{"shop", "all", "half"}},
	}}, nil)
	workloads := []string{"shop", "all", "half"}
	for i := range 20 { // no upstream names them
		workloads = append(workloads, fmt.Sprint("other", i))
	}
	for _, workload := range workloads {
		a.CallsOf(node.Node{Cluster: workload})
	}
	if got := len(a.all); got != 4 {
		t.Errorf("what %d workloads may call is kept, want three that are named and one for all others", got)
	}
}

// none are no proxies.
type none struct{}

func (none) Nodes() []node.Node                { return nil }
func (none) Late(*Publication, time.Time) bool { return false }
func (none) Admit()                            {}
func (none) Wake()                             {}
func (none) WakeFor(string)                    {}
func (none) Reset(time.Duration) bool          { return false }

// TestForgottenViewsLeaveNothing, in the published policy and with ejections.
func TestForgottenViewsLeaveNothing(t *testing.T) {
	p := newPublisher(none{})
	publish(t, p, &policy.Set{}, &endpoints.Table{})
	n := node.Node{Listen: netip.MustParseAddrPort("127.0.0.1:10001")}
	calls := p.Current().Access().CallsOf(n)
	if _, err := p.Current().Resources(n.Listen, calls); err != nil {
		t.Fatal(err)
	}
	if err := p.Eject("a", []netip.AddrPort{n.Listen}); err != nil {
		t.Fatal(err)
	}
	view := calls.View(n.Listen)
	if p.Current().Made(view) == nil || p.Current().OwnBytes(view) == 0 {
		t.Fatal("nothing was made for the view")
	}
	p.Forget(view)
	for _, kept := range []*Publication{p.Current(), p.published.Load()} {
		if len(kept.views) != 1 {
			t.Errorf("kept are %d views, want only that of the default proxy", len(kept.views))
		}
	}
}
