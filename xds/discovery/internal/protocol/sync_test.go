package protocol

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"pgregory.net/rapid"

	"breakwater.dev/xds"
)

// pair is one subscription twice: one of them as it is, and one that never takes its proxy to be in sync.
type pair struct {
	quick, slow *Subscription
	typeURL     string
	now         time.Time
	seq         uint64
	resources   []*xds.Resource
}

var someNames = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 0, 4, rapid.ID[string])

// take has both subscriptions take a request.
func (p *pair) take(m *discoveryv3.DeltaDiscoveryRequest) {
	r := Request{TypeURL: p.typeURL, Nonce: m.GetResponseNonce(), Refused: m.GetErrorDetail(), change: deltaChange{m}}
	for _, s := range []*Subscription{p.quick, p.slow} {
		s.Answer(r, p.now)
		s.Apply(r)
	}
	p.slow.refused = maps.Clone(p.quick.refused) // pauses are drawn at random
}

// change replaces the resources by ones with these names. Some of them stay the same.
func (p *pair) change(t *rapid.T, names []string) {
	var next []*xds.Resource
	for _, name := range slices.Sorted(slices.Values(names)) {
		r := cluster(name, rapid.SampledFrom([]string{"1", "2"}).Draw(t, "version"))
		r.Body.TypeUrl = p.typeURL
		if i := slices.IndexFunc(p.resources, func(had *xds.Resource) bool { return had.Name == name }); i >= 0 && rapid.Bool().Draw(t, "same") {
			r = p.resources[i]
		}
		next = append(next, r)
	}
	p.resources = next
}

// respond returns the responses of both, as text.
func (p *pair) respond(removals Removals) (quick, slow string) {
	p.seq++
	p.slow.unsync()
	text := func(r *Response) string {
		if r == nil {
			return "nothing"
		}
		var added []string
		for _, resource := range r.Resources {
			added = append(added, resource.Name+" "+resource.Version)
		}
		slices.Sort(added) // resources that stay only because they may not go yet come in any order
		return fmt.Sprintf("+%q -%q", added, r.Removed)
	}
	return text(p.quick.Respond(p.seq, p.resources, removals)), text(p.slow.Respond(p.seq, p.resources, removals))
}

// weights returns the weights of both.
func (p *pair) weights() (quick, slow Weight) {
	p.slow.unsync()
	all := xds.Resources{p.typeURL: p.resources}
	return p.quick.Weight(all), p.slow.Weight(all)
}

// move does one thing to both subscriptions.
func (p *pair) move(t *rapid.T) {
	switch rapid.SampledFrom([]string{"touch", "touch", "change", "ask", "ack", "ack", "ack", "nack", "again", "retry", "unused", "used", "wait"}).Draw(t, "move") {
	case "touch":
		var names []string
		for _, r := range p.resources {
			names = append(names, r.Name)
		}
		p.change(t, names)
	case "change":
		p.change(t, someNames.Draw(t, "names"))
	case "ask":
		p.take(&discoveryv3.DeltaDiscoveryRequest{
			ResourceNamesSubscribe: someNames.Draw(t, "subscribe"), ResourceNamesUnsubscribe: someNames.Draw(t, "unsubscribe"),
		})
	case "ack":
		p.take(&discoveryv3.DeltaDiscoveryRequest{ResponseNonce: p.quick.nonce})
	case "nack":
		p.take(&discoveryv3.DeltaDiscoveryRequest{ResponseNonce: p.quick.nonce, ErrorDetail: &rpcstatus.Status{Code: 13, Message: "no"}})
	case "again":
		name := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name")
		p.quick.SendAgainIfNamed(name)
		p.slow.SendAgainIfNamed(name)
	case "retry":
		p.quick.Retry(p.now)
		p.slow.Retry(p.now)
	case "unused":
		p.slow.unsync()
		if a, b := p.quick.MarkUnused(p.resources, p.now, time.Second), p.slow.MarkUnused(p.resources, p.now, time.Second); a != b {
			t.Fatalf("the next resource may go after %s, want %s", a, b)
		}
	case "used":
		p.quick.MarkUsed(p.resources)
		p.slow.MarkUsed(p.resources)
	case "wait":
		p.now = p.now.Add(time.Second)
	}
}

// TestSyncMakesNoDifference: a subscription that knows that its proxy is in sync makes the same responses as one that looks
// at all resources each time, whatever happens.
func TestSyncMakesNoDifference(t *testing.T) {
	inSync := 0
	rapid.Check(t, func(t *rapid.T) {
		typeURL := rapid.SampledFrom([]string{xds.ClusterType, xds.EndpointType, xds.SecretType}).Draw(t, "type")
		p := &pair{quick: New(Delta, typeURL), slow: New(Delta, typeURL), typeURL: typeURL, now: time.Unix(1_000_000, 0)}
		p.change(t, []string{"a", "b", "c", "d"})
		p.take(&discoveryv3.DeltaDiscoveryRequest{
			ResourceNamesSubscribe:  someNames.Draw(t, "subscribe"),
			InitialResourceVersions: rapid.MapOf(rapid.SampledFrom([]string{"a", "b", "x"}), rapid.Just("1")).Draw(t, "versions"),
		})
		for range rapid.IntRange(1, 60).Draw(t, "moves") {
			p.move(t)
			if p.quick.Pending() != p.slow.Pending() {
				t.Fatal("one of them awaits an answer")
			}
			removals := rapid.SampledFrom([]Removals{RemoveAll, {}, RemoveUnused(p.now.Add(-time.Second))}).Draw(t, "removals")
			if !p.quick.Pending() {
				if got, want := p.respond(removals); got != want {
					t.Fatalf("got %q, want %q", got, want)
				}
			}
			if got, want := p.weights(); got != want {
				t.Fatalf("the weight is %v, want %v", got, want)
			}
			if p.quick.synced != nil {
				inSync++
			}
		}
	})
	if inSync == 0 {
		t.Error("no proxy ever was in sync")
	}
}

// BenchmarkOneOfMany changes one resource of a subscription, which takes it.
func BenchmarkOneOfMany(b *testing.B) {
	for _, n := range []int{10, 1_000, 10_000} {
		b.Run(fmt.Sprintf("resources=%d", n), func(b *testing.B) {
			s, seq, now := New(Delta, xds.ClusterType), uint64(0), time.Unix(1_000_000, 0)
			answer := func() {
				r := Request{Nonce: s.nonce, change: deltaChange{&discoveryv3.DeltaDiscoveryRequest{}}}
				s.Answer(r, now)
				s.Apply(r)
			}
			var lists [2][]*xds.Resource
			for i := range n {
				lists[0] = append(lists[0], cluster(fmt.Sprintf("u%05d", i), "1"))
			}
			lists[1] = slices.Clone(lists[0])
			lists[1][7] = cluster("u00007", "2")
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				all := lists[i%2]
				seq++
				if answer(); s.Respond(seq, all, RemoveAll) == nil {
					b.Fatal("nothing is sent")
				}
				answer()
				s.Weight(xds.Resources{xds.ClusterType: all})
				if s.Respond(seq, all, RemoveAll) != nil {
					b.Fatal("a resource is sent twice")
				}
			}
		})
	}
}
