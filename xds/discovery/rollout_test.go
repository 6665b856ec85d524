package discovery

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"breakwater.dev/xds"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// measured records what [Options.Propagated] is told.
func measured() (*Server, *[]time.Duration) {
	all, o := &[]time.Duration{}, newServer().options
	o.Propagated = func(d time.Duration) { *all = append(*all, d) }
	return NewServer(o), all
}

// took demands what was measured since the last call.
func took(t *testing.T, all *[]time.Duration, want ...time.Duration) {
	t.Helper()
	synctest.Wait()
	if !slices.Equal(*all, want) {
		t.Fatalf("measured %v, want %v", *all, want)
	}
	*all = nil
}

func rolled(t *testing.T, s *Server, want RolloutCounts) {
	t.Helper()
	if diff := cmp.Diff(want, s.Rollouts()); diff != "" {
		t.Fatalf("rollouts (-want +got)\n%s", diff)
	}
}

func TestPropagationIsThatOfTheLastProxy(t *testing.T) {
	forEachLink(t, func(t *testing.T, newLink func() link) {
		s, all := measured()
		publishGates(t, s, time.Now(), openGate("a", "", 1))
		took(t, all) // there is nobody yet
		one, two := connectLayer(t, s, newLink()), connectLayer(t, s, newLink())
		one.takes("a=1 for 15s")
		two.takes("a=1 for 15s")
		decided := time.Now()
		wait(time.Second)
		publishGates(t, s, decided, openGate("a", "", 2))
		wait(time.Second)
		one.takes("a=2 for 15s")
		late := connectLayer(t, s, newLink()) // it came after that, and is not waited for
		took(t, all)
		rolled(t, s, RolloutCounts{Begun: 1, Waiting: 1})
		wait(time.Second)
		two.takes("a=2 for 15s")
		took(t, all, 3*time.Second)
		late.takes("a=2 for 15s")
		took(t, all)
		publishGates(t, s, time.Time{}, openGate("a", "", 3))
		one.takes("a=3 for 15s")
		two.takes("a=3 for 15s")
		late.takes("a=3 for 15s")
		took(t, all) // nobody asked
		rolled(t, s, RolloutCounts{Begun: 1})
	})
}

// Gates that come while a proxy has yet to answer reach it together.
func TestPropagationOfWhatComesTogether(t *testing.T) {
	forEachLink(t, func(t *testing.T, newLink func() link) {
		s, all := measured()
		p := connectLayer(t, s, newLink())
		p.gets("nothing")
		for share := range uint32(3) {
			publishGates(t, s, time.Now(), openGate("a", "", 1+share))
			wait(time.Second)
		}
		p.reply(false)
		took(t, all)
		rolled(t, s, RolloutCounts{Begun: 3, Waiting: 3})
		p.takes("a=3 for 15s")
		took(t, all, 3*time.Second, 2*time.Second, time.Second)
		// There and back while it does not answer: then it has what it should.
		publishGates(t, s, time.Now(), openGate("a", "", 4))
		p.gets("a=4 for 15s")
		publishGates(t, s, time.Now(), openGate("a", "", 5))
		publishGates(t, s, time.Now(), openGate("a", "", 4))
		wait(time.Second)
		p.reply(false)
		took(t, all, time.Second, time.Second, time.Second)
		p.gets()
	})
}

func TestPropagationOfWhatIsRefused(t *testing.T) {
	forEachLink(t, func(t *testing.T, newLink func() link) {
		s, all := measured()
		one, two := connectLayer(t, s, newLink()), connectLayer(t, s, newLink())
		one.takes("nothing")
		two.takes("nothing")
		publishGates(t, s, time.Now(), openGate("a", "", 1))
		one.refuses("a=1 for 15s")
		two.gets("a=1 for 15s")
		rolled(t, s, RolloutCounts{Begun: 1, Waiting: 1})
		two.reply(false)
		rolled(t, s, RolloutCounts{Begun: 1, Refused: 1})
		// The same for the one that has refused it, and another for none.
		publishGates(t, s, time.Now(), openGate("a", "", 1), openGate("b", "other", 1))
		rolled(t, s, RolloutCounts{Begun: 1, Refused: 1})
		took(t, all)
		publishGates(t, s, time.Now(), openGate("a", "", 2))
		one.takes("a=2 for 15s")
		two.takes("a=2 for 15s")
		took(t, all, 0)
		rolled(t, s, RolloutCounts{Begun: 2, Refused: 1})
		// There and back before one says that it does not take it.
		publishGates(t, s, time.Now(), openGate("a", "", 3))
		one.gets("a=3 for 15s")
		two.takes("a=3 for 15s")
		publishGates(t, s, time.Now(), openGate("a", "", 4))
		two.gets("a=4 for 15s")
		publishGates(t, s, time.Now(), openGate("a", "", 3))
		one.reply(true)
		two.reply(false)
		two.takes("a=3 for 15s")
		took(t, all)
		rolled(t, s, RolloutCounts{Begun: 5, Refused: 4})
	})
}

func TestPropagationDoesNotWaitForWhoIsGone(t *testing.T) {
	forEachLink(t, func(t *testing.T, newLink func() link) {
		s, all := measured()
		one, two := connectLayer(t, s, newLink()), connectLayer(t, s, newLink())
		one.takes("nothing")
		two.takes("nothing")
		publishGates(t, s, time.Now(), openGate("a", "", 1))
		one.takes("a=1 for 15s")
		wait(time.Second)
		two.disconnect()
		took(t, all, time.Second)
		rolled(t, s, RolloutCounts{Begun: 1})
	})
}

// A proxy that never answers holds up figures, and memory only so far.
func TestRolloutsAreBounded(t *testing.T) {
	forEachLink(t, func(t *testing.T, newLink func() link) {
		s, all := measured()
		stuck, well := connectLayer(t, s, newLink()), connectLayer(t, s, newLink())
		stuck.gets("nothing")
		well.takes("nothing")
		const many = 2 * maxRollouts
		for share := range uint32(many) {
			publishGates(t, s, time.Now(), openGate("a", "", 1+share))
			well.takes(fmt.Sprintf("a=%d for 15s", 1+share))
		}
		rolled(t, s, RolloutCounts{Begun: many, Waiting: maxRollouts})
		took(t, all)
		stuck.reply(false)
		stuck.takes(fmt.Sprintf("a=%d for 15s", many))
		took(t, all, make([]time.Duration, maxRollouts)...)
		rolled(t, s, RolloutCounts{Begun: many})
	})
}

// simple is what rollouts do, as plainly as it can be said: each knows whom it waits for.
type simple struct {
	gates          []*gates // all there were, by number
	begun, refused int
	open           []*simpleRollout
	followers      []*simpleFollower
	took           []time.Duration
}

type simpleRollout struct {
	rollout
	waits map[*simpleFollower]bool
}

type simpleFollower struct {
	*follower
	has     uint64 // the number of the gates that it has answered for
	refuses bool
}

func (m *simple) publish(g *gates, decided time.Time) {
	before := m.gates[len(m.gates)-1]
	m.gates = append(m.gates, g)
	o := &simpleRollout{rollout: rollout{number: g.number, decided: decided}, waits: map[*simpleFollower]bool{}}
	for _, f := range m.followers {
		if f.has == before.number && before.Layer(f.node).Version == g.Layer(f.node).Version {
			f.has = g.number
			o.refused = o.refused || f.refuses
		} else {
			o.waits[f] = true
		}
	}
	if len(o.waits) > 0 && !decided.IsZero() {
		m.begun++
		m.open = append(m.open, o)
	}
}

func (m *simple) pass(f *simpleFollower, number uint64, refused bool) {
	for _, o := range m.open {
		if o.waits[f] && o.number <= number {
			delete(o.waits, f)
			o.refused = o.refused || refused
		}
	}
	f.has, f.refuses = max(f.has, number), refused
}

func (m *simple) settle(now time.Time) {
	m.open = slices.DeleteFunc(m.open, func(o *simpleRollout) bool {
		switch {
		case len(o.waits) > 0:
			return false
		case o.refused:
			m.refused++
		default:
			m.took = append(m.took, now.Sub(o.decided))
		}
		return true
	})
}

// pair is rollouts and their plain model, with one history.
type pair struct {
	*rollouts
	model  *simple
	clock  time.Time
	layers []*xds.Layers // to choose from
	got    []time.Duration
}

func (p *pair) agree(t *rapid.T) {
	p.model.settle(p.clock)
	m, c := p.model, p.counts
	if !slices.Equal(p.got, m.took) || int(c.Refused) != m.refused || int(c.Begun) != m.begun || len(p.open) != len(m.open) {
		t.Fatalf("measured %v, %+v, %d open; want %v, %d refused, %d begun, %d open",
			p.got, c, len(p.open), m.took, m.refused, m.begun, len(m.open))
	}
	p.clock = p.clock.Add(time.Second)
}

func (p *pair) publishAny(t *rapid.T) {
	decided := rapid.SampledFrom([]time.Time{p.clock, p.clock, p.clock, {}}).Draw(t, "decided")
	p.publish(rapid.SampledFrom(p.layers).Draw(t, "layers"), decided)
	p.model.publish(p.current.Load(), decided)
}

func (p *pair) joinAny(t *rapid.T) {
	f := &follower{wake: make(chan struct{}, 1), node: rapid.SampledFrom([]string{"n0", "n1", "n2"}).Draw(t, "node")}
	p.join(f)
	p.model.followers = append(p.model.followers, &simpleFollower{follower: f, has: p.current.Load().number})
}

func (p *pair) passAny(t *rapid.T) {
	if len(p.model.followers) == 0 {
		return
	}
	f := rapid.SampledFrom(p.model.followers).Draw(t, "follower")
	number := rapid.Uint64Range(0, p.current.Load().number).Draw(t, "number") // old ones as well
	refused := rapid.IntRange(0, 3).Draw(t, "refused") == 0
	p.got = append(p.got, p.pass(f.follower, number, refused)...)
	p.model.pass(f, number, refused)
}

func (p *pair) leaveAny(t *rapid.T) {
	if len(p.model.followers) == 0 {
		return
	}
	f := rapid.SampledFrom(p.model.followers).Draw(t, "follower")
	p.got = append(p.got, p.leave(f.follower)...)
	p.model.pass(f, p.current.Load().number, false)
	p.model.followers = slices.DeleteFunc(p.model.followers, func(o *simpleFollower) bool { return o == f })
}

// Rollouts and their plain model agree on any history.
func TestRolloutsAgreeWithAModel(t *testing.T) {
	layers := []*xds.Layers{
		layersOf(t), layersOf(t, openGate("a", "", 1)), layersOf(t, openGate("a", "n0", 1)), layersOf(t, openGate("a", "n1", 1), openGate("a", "n0", 2)),
	}
	rapid.Check(t, func(t *rapid.T) {
		first := &gates{Layers: layers[0]}
		p := &pair{model: &simple{gates: []*gates{first}}, layers: layers, clock: time.Unix(0, 0)}
		p.rollouts = &rollouts{now: func() time.Time { return p.clock }, followers: map[*follower]bool{}}
		p.current.Store(first)
		t.Repeat(map[string]func(*rapid.T){
			"": p.agree, "publish": p.publishAny, "join": p.joinAny, "pass": p.passAny, "leave": p.leaveAny,
		})
	})
}

// Streams whose layer stays the same are left alone.
func TestWhoseLayerStaysIsNotWoken(t *testing.T) {
	r := &rollouts{now: time.Now, followers: map[*follower]bool{}}
	r.current.Store(&gates{Layers: layersOf(t)})
	mine, other := &follower{wake: make(chan struct{}, 1), node: "mine"}, &follower{wake: make(chan struct{}, 1), node: "other"}
	r.join(mine)
	r.join(other)
	r.publish(layersOf(t, openGate("a", "mine", 1)), time.Time{})
	if len(mine.wake) != 1 || len(other.wake) != 0 {
		t.Errorf("woken: %d, %d; want the one with other gates only", len(mine.wake), len(other.wake))
	}
	r.publish(layersOf(t, openGate("a", "other", 1)), time.Time{})
	if len(other.wake) != 1 {
		t.Error("it is not woken by gates of its own")
	}
}
