package gate

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater.dev/breaker"
)

// simulated is a proxy that obeys late, and tells late.
type simulated struct {
	limit  uint32       // in force
	before uint32       // connections from before half-open
	hidden bool         // those were never told of
	gone   bool         // it is no more
	fresh  int          // those since
	making int          // of these, the ones that are not established
	answer func(*Proxy) // to be given; nil: it has answered
	told   []telling    // on its way to us, in order
}

type telling struct {
	at   breaker.Instant
	what func(*Proxy, breaker.Instant)
}

// world is a board and its proxies, in which anything happens that may.
type world struct {
	*rig
	proxies []*simulated
	inForce *Set
	// room is how many connections from before half-open have ended: until that is known, others
	// may take their place.
	room int
}

// here are the proxies that are known.
func (w *world) here() (here []Proxy) {
	for i, p := range w.proxies {
		if !p.gone {
			here = append(here, w.nodes[i])
		}
	}
	return here
}

// turn is what happens each second at least: permits are dealt, and published.
func (w *world) turn() {
	for i, p := range w.proxies {
		for len(p.told) > 0 && p.told[0].at <= w.now {
			p.told[0].what(&w.nodes[i], p.told[0].at)
			p.told = p.told[1:]
		}
	}
	all, _ := w.rig.gates(w.here())
	w.inForce = NewSet(all, LogFilter{})
}

// layer takes the runtime layer of a proxy one step further: it is sent, also if it is the same, it
// is in force, or that is known.
func (w *world) layer(i int) {
	p := w.proxies[i]
	if p.answer != nil {
		p.answer(&w.nodes[i])
		p.answer = nil
		return
	}
	if w.nodes[i].Left {
		return
	}
	sent := w.inForce
	p.limit, _ = sent.Connections(keyDB, w.nodes[i].Node)
	p.answer = func(told *Proxy) { told.Gates, told.Told = sent, w.now }
}

// stream has a proxy leave, or one that has left return or be no more.
func (w *world) stream(t *rapid.T, i int) {
	p, told := w.proxies[i], &w.nodes[i]
	p.answer = nil
	if p.gone {
		return
	}
	if told.Left && rapid.Bool().Draw(t, "for good") {
		w.room += int(p.before)
		p.gone, p.limit, p.before, p.fresh, p.making = true, 0, 0, 0, 0
		return
	}
	told.Left = !told.Left
}

// restart has a proxy begin anew, which lets nobody through before it has its layer.
func (w *world) restart(i int) {
	told := &w.nodes[i]
	w.room += int(w.proxies[i].before)
	*w.proxies[i] = simulated{}
	*told = Proxy{
		Node: told.Node, Links: Links{Called: told.Called, Refused: told.Refused, Admitted: told.Admitted},
		Applied: Applied{Began: w.now},
	}
}

// tell has the proxy tell something, in time.
func (w *world) tell(t *rapid.T, p *simulated, what func(*Proxy, breaker.Instant)) {
	at := w.now.Add(time.Duration(rapid.Int64Range(0, int64(reportDelay)-1).Draw(t, "delay")))
	if n := len(p.told); n > 0 {
		at = max(at, p.told[n-1].at)
	}
	p.told = append(p.told, telling{at, what})
}

func (w *world) call(t *rapid.T, p *simulated) {
	if p.before+uint32(p.fresh) >= p.limit {
		w.tell(t, p, func(told *Proxy, now breaker.Instant) { told.Called, told.Refused = now, now })
		return
	}
	p.fresh, p.making = p.fresh+1, p.making+1
	w.tell(t, p, func(told *Proxy, now breaker.Instant) { told.Called = now; told.Connecting++ })
}

// end establishes a connection that is being made, or ends one.
func (w *world) end(t *rapid.T, p *simulated) {
	switch {
	case p.making > 0:
		p.making--
		w.tell(t, p, func(told *Proxy, now breaker.Instant) { told.Admitted = now; told.Connecting--; told.Connections++ })
	case p.fresh > 0:
		p.fresh--
		w.tell(t, p, func(told *Proxy, _ breaker.Instant) { told.Connections-- })
	}
}

// endOld ends a connection from before half-open that was told of.
func (w *world) endOld(t *rapid.T, p *simulated) {
	if p.before > 0 && !p.hidden {
		p.before--
		w.room++
		w.tell(t, p, func(told *Proxy, _ breaker.Instant) { told.Connections-- })
	}
}

// TestPermitsNeverExceed what is permitted, over all proxies, whenever they obey and
// whatever they tell late.
func TestPermitsNeverExceed(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		permits := rapid.IntRange(1, 4).Draw(rt, "permits")
		w := &world{}
		for range rapid.IntRange(1, 5).Draw(rt, "proxies") {
			w.proxies = append(w.proxies, &simulated{before: rapid.Uint32Range(0, 2).Draw(rt, "before")})
		}
		var nodes []Proxy
		for i, p := range w.proxies {
			told := p.before
			if rapid.Bool().Draw(rt, "hidden") {
				told, p.hidden = 0, true
			}
			nodes = append(nodes, Proxy{Node: fmt.Sprint(i), Links: Links{Connections: told}})
		}
		w.rig = halfOpen(t, uint32(permits), nodes...)
		w.turn()
		kinds := 16
		if rapid.Bool().Draw(rt, "some end") {
			kinds = 20
		}
		for range rapid.IntRange(1, 150).Draw(rt, "steps") {
			i := rapid.IntRange(0, len(w.proxies)-1).Draw(rt, "proxy")
			switch rapid.IntRange(0, kinds).Draw(rt, "what") {
			case 0, 1, 2, 3:
				w.now = w.now.Add(time.Duration(rapid.Int64Range(1, int64(1200*time.Millisecond)).Draw(rt, "pass")))
				w.turn()
			case 4, 5, 6, 7:
				w.layer(i)
			case 8, 9, 10, 11, 12, 13:
				w.call(rt, w.proxies[i])
			case 14, 15, 16:
				w.end(rt, w.proxies[i])
			case 17, 18:
				w.endOld(rt, w.proxies[i])
			case 19:
				w.stream(rt, i)
			case 20:
				w.restart(i)
			}
			fresh := 0
			for _, p := range w.proxies {
				fresh += p.fresh
			}
			if most := permits + w.room; fresh > most {
				rt.Fatalf("%d connections since half-open began, want %d at most", fresh, most)
			}
		}
	})
}
