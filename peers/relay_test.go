package peers

import (
	"log/slog"
	"sync"
	"testing"

	"breakwater.dev/breaker"
	"breakwater.dev/membership"
	"breakwater.dev/peers/internal/convert"
	"breakwater.dev/peers/internal/peerspb"
)

// TestRelayedAnswer shows that the answer to a question that was passed on goes back while other messages of the one that asked come.
// The race detector notices what is not guarded.
func TestRelayedAnswer(t *testing.T) {
	self, asks, other := membership.Member{ID: "self"}, membership.Member{ID: "asks", Address: "asks"}, membership.Member{ID: "other"}
	engine := breaker.NewEngine(breaker.Options{})
	asked, answered := make(chan uint64, 1), make(chan string, 1)
	r := New(Options{
		Self: self, Engine: engine, Log: slog.New(slog.DiscardHandler),
		Send: func(to membership.Member, m *peerspb.Message) {
			if q := m.GetAsk(); q != nil && to.ID == other.ID {
				asked <- q.GetId()
			}
			if m.GetAnswer() != nil {
				answered <- to.Address
			}
		},
		Deliver: func(breaker.Transition, bool) {}, Changed: func(breaker.Key) {}, Suspect: func(breaker.Key) {}, Sampled: func() {}, Flush: func() {}, Wake: func() {},
	}, 0)
	all := specs(20)
	engine.Apply(all, 1)
	r.Apply(all, nil, 1)
	r.View(membership.View{Epoch: 1, Members: []membership.Member{asks, other, self}}, 1)
	beat := func(from membership.Member) {
		r.Receive(from, &peerspb.Message{Kind: &peerspb.Message_Beat{Beat: &peerspb.Beat{From: &peerspb.Replica{Id: from.ID, Address: from.Address}, View: &peerspb.View{Epoch: 1}}}}, 1)
	}
	beat(asks)
	beat(other)
	var key breaker.Key
	for _, s := range all {
		if at := r.core.Find(s.Key); at.To == other.ID {
			key = s.Key
		}
	}
	r.Receive(asks, &peerspb.Message{Kind: &peerspb.Message_Ask{Ask: &peerspb.Ask{Id: 7, Key: convert.Key(key)}}}, 1)
	id := <-asked
	var both sync.WaitGroup
	both.Go(func() {
		for range 5000 {
			beat(asks)
		}
	})
	both.Go(func() {
		r.Receive(other, &peerspb.Message{Kind: &peerspb.Message_Answer{Answer: &peerspb.Answer{Id: id, Admitted: true, Probe: 1}}}, 1)
	})
	both.Wait()
	if to := <-answered; to != asks.Address {
		t.Errorf("the answer went to %q, want %q", to, asks.Address)
	}
}
