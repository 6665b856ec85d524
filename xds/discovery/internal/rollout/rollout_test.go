package rollout

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater.dev/gate"
	"breakwater.dev/xds"
)

// openGate rejects a share of the calls to an upstream, in one proxy or, if node is empty, in all.
func openGate(upstream, node string, open uint32) gate.Gate {
	g := gate.Gate{Open: open}
	g.Key.Upstream, g.Key.Node = upstream, node
	return g
}

func layersOf(t *testing.T, all ...gate.Gate) *xds.Layers {
	t.Helper()
	l, err := xds.NewLayers(gate.NewSet(all, gate.LogFilter{}))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// simple is a plain model of rollouts: each one knows which followers it waits for.
type simple struct {
	gates          []*Gates // all there were, by number
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
	*Follower
	has     uint64 // the number of the gates that it has answered for
	refuses bool
}

func (m *simple) publish(g *Gates, decided time.Time) {
	before := m.gates[len(m.gates)-1]
	m.gates = append(m.gates, g)
	o := &simpleRollout{rollout: rollout{number: g.Number, decided: decided}, waits: map[*simpleFollower]bool{}}
	for _, f := range m.followers {
		if f.has == before.Number && before.Same(g.Layers, f.node) {
			f.has = g.Number
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
	*Rollouts
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
	p.Publish(rapid.SampledFrom(p.layers).Draw(t, "layers"), decided)
	p.model.publish(p.Current(), decided)
}

func (p *pair) joinAny(t *rapid.T) {
	f := NewFollower()
	p.Join(f, rapid.SampledFrom([]string{"n0", "n1", "n2"}).Draw(t, "node"))
	p.model.followers = append(p.model.followers, &simpleFollower{Follower: f, has: p.Current().Number})
}

func (p *pair) passAny(t *rapid.T) {
	if len(p.model.followers) == 0 {
		return
	}
	f := rapid.SampledFrom(p.model.followers).Draw(t, "follower")
	number := rapid.Uint64Range(0, p.Current().Number).Draw(t, "number") // old ones as well
	refused := rapid.IntRange(0, 3).Draw(t, "refused") == 0
	p.got = append(p.got, p.Pass(f.Follower, number, refused)...)
	p.model.pass(f, number, refused)
}

func (p *pair) leaveAny(t *rapid.T) {
	if len(p.model.followers) == 0 {
		return
	}
	f := rapid.SampledFrom(p.model.followers).Draw(t, "follower")
	p.got = append(p.got, p.Leave(f.Follower)...)
	p.model.pass(f, p.Current().Number, false)
	p.model.followers = slices.DeleteFunc(p.model.followers, func(o *simpleFollower) bool { return o == f })
}

// Rollouts and their plain model agree on any history.
func TestRolloutsAgreeWithAModel(t *testing.T) {
	layers := []*xds.Layers{
		layersOf(t), layersOf(t, openGate("a", "", 1)), layersOf(t, openGate("a", "n0", 1)), layersOf(t, openGate("a", "n1", 1), openGate("a", "n0", 2)),
	}
	rapid.Check(t, func(t *rapid.T) {
		p := &pair{layers: layers, clock: time.Unix(0, 0)}
		p.Rollouts = New(layers[0], func() time.Time { return p.clock })
		p.model = &simple{gates: []*Gates{p.Current()}}
		t.Repeat(map[string]func(*rapid.T){
			"": p.agree, "publish": p.publishAny, "join": p.joinAny, "pass": p.passAny, "leave": p.leaveAny,
		})
	})
}

// Streams whose layer stays the same are left alone.
func TestWhoseLayerStaysIsNotWoken(t *testing.T) {
	r := New(layersOf(t), time.Now)
	mine, other := NewFollower(), NewFollower()
	r.Join(mine, "mine")
	r.Join(other, "other")
	r.Publish(layersOf(t, openGate("a", "mine", 1)), time.Time{})
	if len(mine.Wake()) != 1 || len(other.Wake()) != 0 {
		t.Errorf("woken: %d, %d; want the one with other gates only", len(mine.Wake()), len(other.Wake()))
	}
	r.Publish(layersOf(t, openGate("a", "other", 1)), time.Time{})
	if len(other.Wake()) != 1 {
		t.Error("it is not woken by gates of its own")
	}
}
