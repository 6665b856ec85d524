package publication

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"breakwater.dev/endpoints"
	"breakwater.dev/policy"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/node"
)

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
		if other, ok := seen[keyOf(n)]; ok {
			t.Errorf("%q and %q have one view", n.Upstreams, other.Upstreams)
		}
		seen[keyOf(n)] = n
	}
}

// TestWorkloadsShareLists: proxies that may call the same upstreams have the same lists, whatever their workloads are called.
func TestWorkloadsShareLists(t *testing.T) {
	set := upstreams(100, 80)
	for _, u := range set.Upstreams[50:] {
		u.Callers = []string{"shop", "all"}
	}
	p := newPublisher(none{})
	publish(t, p, set, &endpoints.Table{})
	clusters := func(workload string) *xds.List {
		c, err := p.Current().For(p.Views.Join(node.Node{Cluster: workload, Listen: xds.DefaultListen}))
		if err != nil {
			t.Fatal(err)
		}
		return c.Resources[xds.ClusterType]
	}
	if clusters("shop") != clusters("all") || clusters("shop").Len() != 100 {
		t.Errorf("two workloads that may call all have lists of %d and %d clusters of their own", clusters("shop").Len(), clusters("all").Len())
	}
	if clusters("other") != clusters("another") || clusters("other").Len() != 50 {
		t.Errorf("two workloads that no upstream names have lists of %d and %d clusters of their own", clusters("other").Len(), clusters("another").Len())
	}
}

// none are no proxies.
type none struct{}

func (none) Late(*Publication, time.Time) bool { return false }
func (none) Admit()                            {}
func (none) Wake(*Publication)                 {}
func (none) Reset(time.Duration) bool          { return false }

// fallingBack is a policy in which another upstream takes over from the first one.
func fallingBack(to string) *policy.Set {
	set := upstreams(3, 80)
	set.Upstreams[0].Routes[0].Breaker = &policy.Breaker{
		Fallback: policy.Fallback{Response: policy.Response{Status: 503}, Upstream: &policy.FallbackUpstream{Name: to, Host: to}},
	}
	return set
}

// TestForgottenViewsLeaveNothing, neither in the published policy nor in the one with departing upstreams.
func TestForgottenViewsLeaveNothing(t *testing.T) {
	p := newPublisher(none{})
	publish(t, p, fallingBack("u00001"), &endpoints.Table{})
	publish(t, p, fallingBack("u00002"), &endpoints.Table{})
	both := []*Publication{p.Current(), p.published.Load()}
	if both[0] == both[1] {
		t.Fatal("nothing departs")
	}
	listen := netip.MustParseAddrPort("127.0.0.1:10001")
	view := p.Views.Join(node.Node{Listen: listen})
	for _, kept := range both {
		if _, err := kept.For(view); err != nil {
			t.Fatal(err)
		}
		if kept.Made(view) == nil || kept.Bytes(listen) == 0 {
			t.Fatal("nothing was made for the view")
		}
	}
	p.Leave(view)
	for _, kept := range both {
		if kept.Made(view) != nil || kept.Views() != 0 || kept.Bytes(listen) != 0 {
			t.Errorf("kept are %d views, and %d bytes for the address", kept.Views(), kept.Bytes(listen))
		}
	}
}

// waiting are proxies that are late, or not. They count how often they were woken and asked.
type waiting struct {
	none
	late         bool
	woken, asked int
	next         time.Duration // until the alarm
}

func (w *waiting) Wake(*Publication) { w.woken++ }
func (w *waiting) Late(*Publication, time.Time) bool {
	w.asked++
	return w.late
}
func (w *waiting) Reset(d time.Duration) bool {
	w.next = d
	return true
}

// TestOneDepartureIsOnePublication, however long a proxy is late.
func TestOneDepartureIsOnePublication(t *testing.T) {
	w, now := &waiting{late: true}, time.Unix(0, 0)
	p := NewPublisher(Options{Proxies: w, Alarm: w, XDS: xds.Options{Pool: &xds.Pool{}}, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)})
	publish(t, p, fallingBack("u00001"), &endpoints.Table{})
	publish(t, p, fallingBack("u00002"), &endpoints.Table{})
	joined := p.Current()
	if w.woken != 2 || w.next != xds.RouteToHost {
		t.Fatalf("woken %d times, and to look after %s, want 2 and %s", w.woken, w.next, xds.RouteToHost)
	}
	for range 20 {
		now = now.Add(w.next)
		p.Expire()
		if w.next != LateAgain {
			t.Fatalf("to look again after %s, want %s", w.next, LateAgain)
		}
	}
	if w.asked != 20 || w.woken != 2 || p.Current() != joined {
		t.Errorf("while a proxy is late: asked %d times, woken %d times, want 20 and 2", w.asked, w.woken)
	}
	w.late = false
	now = now.Add(w.next)
	p.Expire()
	p.Expire()
	if w.woken != 3 || p.Current() != p.published.Load() {
		t.Errorf("when it is no longer late: woken %d times, want 3, for the published policy", w.woken)
	}
}
