package protocol

import (
	"fmt"
	"slices"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/types/known/anypb"
	"pgregory.net/rapid"

	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/message"
	"breakwater.dev/xds/internal/resource"
)

// pair is one subscription twice: as it is, and naive.
type pair struct {
	quick     *Subscription
	slow      *naive
	pool      *xds.Pool
	typeURL   string
	now       time.Time
	seq       uint64
	resources []*xds.Resource
}

var someNames = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 0, 4, rapid.ID[string])

// take has both subscriptions take a request.
func (p *pair) take(t *rapid.T, m *discoveryv3.DeltaDiscoveryRequest) {
	p.slow.answer(m)
	p.slow.apply(m)
	r := deltaRequest(t, m)
	refused := p.quick.Answer(r, p.now).Refused
	p.quick.Apply(r)
	if refused {
		p.slow.takeRefusals(p.quick)
	}
}

// change replaces the resources by ones with these names. Some of them stay the same.
func (p *pair) change(t *rapid.T, names []string) {
	var next []*xds.Resource
	for _, name := range slices.Sorted(slices.Values(names)) {
		r := resource.New(name, rapid.SampledFrom([]string{"1", "2"}).Draw(t, "version"), &anypb.Any{TypeUrl: p.typeURL})
		if i := slices.IndexFunc(p.resources, func(had *xds.Resource) bool { return had.Name == name }); i >= 0 && rapid.Bool().Draw(t, "same") {
			r = p.resources[i]
		}
		next = append(next, r)
	}
	p.resources = next
}

func (p *pair) list() *xds.List { return p.pool.List(slices.Clone(p.resources)) }

// respond returns the responses of both, as text.
func (p *pair) respond(removals Removals) (quick, slow string) {
	p.seq++
	quick, slow = "nothing", "nothing"
	if r := p.quick.Respond(p.seq, p.list(), removals); r != nil {
		quick = fmt.Sprintf("+%q -%q", namesOf(r.Resources), r.Removed)
	}
	if add, gone, sends := p.slow.respond(fmt.Sprintf("%x", p.seq), p.resources, removals); sends {
		slow = fmt.Sprintf("+%q -%q", add, gone)
	}
	return quick, slow
}

// move does one thing to both subscriptions.
func (p *pair) move(t *rapid.T) {
	switch rapid.SampledFrom([]string{"touch", "touch", "change", "ask", "ack", "ack", "ack", "nack", "again", "retry", "unused", "used", "wait"}).Draw(t, "move") {
	case "touch":
		p.change(t, namesOf(p.resources))
	case "change":
		p.change(t, someNames.Draw(t, "names"))
	case "ask":
		p.take(t, &discoveryv3.DeltaDiscoveryRequest{
			ResourceNamesSubscribe: someNames.Draw(t, "subscribe"), ResourceNamesUnsubscribe: someNames.Draw(t, "unsubscribe"),
		})
	case "ack":
		p.take(t, &discoveryv3.DeltaDiscoveryRequest{ResponseNonce: p.quick.nonce})
	case "nack":
		p.take(t, &discoveryv3.DeltaDiscoveryRequest{ResponseNonce: p.quick.nonce, ErrorDetail: &rpcstatus.Status{Code: 13, Message: "no"}})
	case "again":
		name := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name")
		p.quick.SendAgainIfNamed(name)
		p.slow.sendAgain(name)
	case "retry":
		var due []string
		for name, r := range p.quick.refused {
			if !r.due.IsZero() && !p.now.Before(r.due) {
				due = append(due, name)
			}
		}
		if len(due) > 0 {
			p.slow.doubts = append(p.slow.doubts, due)
		}
		p.quick.Retry(p.now)
		p.slow.takeRefusals(p.quick)
	case "unused":
		if a, b := p.quick.MarkUnused(p.list(), p.now, time.Second), p.slow.markUnused(p.resources, p.now, time.Second); a != b {
			t.Fatalf("the next resource may go after %s, want %s", a, b)
		}
	case "used":
		p.quick.MarkUsed(p.list())
		p.slow.markUsed(p.resources)
	case "wait":
		p.now = p.now.Add(time.Second)
	}
}

// TestSharingMakesNoDifference: a subscription that shares lists with others makes the same responses as one that looks at all
// resources each time, whatever happens.
func TestSharingMakesNoDifference(t *testing.T) {
	sent, inSync := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		typeURL, pool := rapid.SampledFrom([]string{xds.ClusterType, xds.EndpointType}).Draw(t, "type"), &xds.Pool{}
		p := &pair{quick: New(Delta, typeURL, pool), slow: newNaive(typeURL), pool: pool, typeURL: typeURL, now: time.Unix(1_000_000, 0)}
		p.change(t, []string{"a", "b", "c", "d"})
		p.take(t, &discoveryv3.DeltaDiscoveryRequest{
			ResourceNamesSubscribe:  someNames.Draw(t, "subscribe"),
			InitialResourceVersions: rapid.MapOf(rapid.SampledFrom([]string{"a", "b", "x"}), rapid.Just("1")).Draw(t, "versions"),
		})
		for range rapid.IntRange(1, 60).Draw(t, "moves") {
			p.move(t)
			if p.quick.Pending() != p.slow.pending {
				t.Fatal("one of them awaits an answer")
			}
			if p.quick.Pending() {
				continue
			}
			removals := rapid.SampledFrom([]Removals{RemoveAll, {}, RemoveUnused(p.now.Add(-time.Second))}).Draw(t, "removals")
			got, want := p.respond(removals)
			if got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
			if got != "nothing" {
				sent++
			} else if p.quick.wildcard && p.quick.has.Same(p.list()) {
				inSync++
			}
		}
	})
	if sent == 0 || inSync == 0 {
		t.Errorf("%d responses were sent, and %d times all was there", sent, inSync)
	}
}

func manyClusters(n int) []*xds.Resource {
	var all []*xds.Resource
	for i := range n {
		all = append(all, cluster(fmt.Sprintf("u%05d", i), "1"))
	}
	return all
}

// BenchmarkOneOfMany changes one resource of a subscription, which takes it.
func BenchmarkOneOfMany(b *testing.B) {
	for _, n := range []int{10, 1_000, 10_000} {
		b.Run(fmt.Sprintf("resources=%d", n), func(b *testing.B) {
			pool := &xds.Pool{}
			s, seq, now := New(Delta, xds.ClusterType, pool), uint64(0), time.Unix(1_000_000, 0)
			answer := func() {
				r := Request{Nonce: s.nonce, change: deltaChange{&message.DeltaRequest{}}}
				s.Answer(r, now)
				s.Apply(r)
			}
			lists := [2]*xds.List{pool.List(manyClusters(n))}
			lists[1] = lists[0].With(pool, []*xds.Resource{cluster("u00007", "2")}, nil)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				seq++
				if answer(); s.Respond(seq, lists[i%2], RemoveAll) == nil {
					b.Fatal("nothing is sent")
				}
				answer()
				s.Weight(xds.Resources{xds.ClusterType: lists[i%2]})
				if s.Respond(seq, lists[i%2], RemoveAll) != nil {
					b.Fatal("a resource is sent twice")
				}
			}
		})
	}
}
