package gate

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater.dev/breaker"
)

// proxySim simulates a proxy that applies gates late, and reports late.
type proxySim struct {
	limit      uint32       // in force
	old        uint32       // connections from before half-open
	hidden     bool         // the proxy never reported the old connections
	removed    bool         // the control plane no longer knows the proxy
	probes     int          // connections since half-open began
	connecting int          // connections among probes that are not established yet
	ack        func(*Proxy) // the acknowledgement of the last layer; nil: it was sent
	reports    []report     // on their way to the control plane, in order
}

// report changes the control plane's record of a proxy when it arrives.
type report struct {
	arrives breaker.Instant
	apply   func(*Proxy, breaker.Instant)
}

// world is a rig with simulated proxies.
type world struct {
	*rig
	proxies []*proxySim
	current *Mix // the gates that were published last
	// room is how many old connections have ended. Until that is known, new connections may take their place.
	room int
}

// known returns the control plane's records of the proxies.
func (w *world) known() (known []Proxy) {
	for i, p := range w.proxies {
		if !p.removed {
			known = append(known, w.nodes[i])
		}
	}
	return known
}

// publish delivers the reports that have arrived, allocates permits, and publishes the gates.
func (w *world) publish() {
	for i, p := range w.proxies {
		for len(p.reports) > 0 && p.reports[0].arrives <= w.now {
			p.reports[0].apply(&w.nodes[i], p.reports[0].arrives)
			p.reports = p.reports[1:]
		}
	}
	all, _ := w.rig.gates(w.known())
	w.current = Uniform(NewSet(all, LogFilter{}))
}

// layer makes a proxy apply the current gates, or acknowledge the gates that it applied last.
func (w *world) layer(i int) {
	p := w.proxies[i]
	if p.ack != nil {
		p.ack(&w.nodes[i])
		p.ack = nil
		return
	}
	if w.nodes[i].Left {
		return
	}
	sent := w.current
	p.limit, _ = sent.Connections(keyDB, w.nodes[i].Node)
	p.ack = func(record *Proxy) { record.Gates, record.Acknowledged = sent, w.now }
}

// stream makes a proxy leave. A proxy that has left returns, or is removed for good.
func (w *world) stream(t *rapid.T, i int) {
	p, record := w.proxies[i], &w.nodes[i]
	p.ack = nil
	if p.removed {
		return
	}
	if record.Left && rapid.Bool().Draw(t, "for good") {
		w.room += int(p.old)
		p.removed, p.limit, p.old, p.probes, p.connecting = true, 0, 0, 0, 0
		return
	}
	record.Left = !record.Left
}

// restart restarts a proxy, which admits no connection before it has its layer.
func (w *world) restart(i int) {
	record := &w.nodes[i]
	w.room += int(w.proxies[i].old)
	*w.proxies[i] = proxySim{}
	*record = Proxy{
		Node: record.Node, Links: Links{Called: record.Called, Refused: record.Refused, Admitted: record.Admitted},
		Applied: Applied{Began: w.now},
	}
}

// report sends a report of the proxy, which arrives within reportDelay.
func (w *world) report(t *rapid.T, p *proxySim, apply func(*Proxy, breaker.Instant)) {
	arrives := w.now.Add(time.Duration(rapid.Int64Range(0, int64(reportDelay)-1).Draw(t, "delay")))
	if n := len(p.reports); n > 0 {
		arrives = max(arrives, p.reports[n-1].arrives)
	}
	p.reports = append(p.reports, report{arrives, apply})
}

// call makes an application want a connection, which the proxy refuses at its limit.
func (w *world) call(t *rapid.T, p *proxySim) {
	if p.old+uint32(p.probes) >= p.limit {
		w.report(t, p, func(record *Proxy, now breaker.Instant) { record.Called, record.Refused = now, now })
		return
	}
	p.probes, p.connecting = p.probes+1, p.connecting+1
	w.report(t, p, func(record *Proxy, now breaker.Instant) { record.Called = now; record.Connecting++ })
}

// advance establishes a connection that is being made, or ends an established one.
func (w *world) advance(t *rapid.T, p *proxySim) {
	switch {
	case p.connecting > 0:
		p.connecting--
		w.report(t, p, func(record *Proxy, now breaker.Instant) {
			record.Admitted = now
			record.Connecting--
			record.Connections++
		})
	case p.probes > 0:
		p.probes--
		w.report(t, p, func(record *Proxy, _ breaker.Instant) { record.Connections-- })
	}
}

// endOld ends a reported connection from before half-open.
func (w *world) endOld(t *rapid.T, p *proxySim) {
	if p.old > 0 && !p.hidden {
		p.old--
		w.room++
		w.report(t, p, func(record *Proxy, _ breaker.Instant) { record.Connections-- })
	}
}

// TestPermitsNeverExceed shows that all proxies together never have more new connections than permits in one half-open, however
// late they apply gates, if they report connections within reportDelay.
func TestPermitsNeverExceed(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		permits := rapid.IntRange(1, 4).Draw(rt, "permits")
		w := &world{}
		for range rapid.IntRange(1, 5).Draw(rt, "proxies") {
			w.proxies = append(w.proxies, &proxySim{old: rapid.Uint32Range(0, 2).Draw(rt, "old")})
		}
		var nodes []Proxy
		for i, p := range w.proxies {
			reported := p.old
			if rapid.Bool().Draw(rt, "hidden") {
				reported, p.hidden = 0, true
			}
			nodes = append(nodes, Proxy{Node: fmt.Sprint(i), Links: Links{Connections: reported}})
		}
		w.rig = halfOpen(t, uint32(permits), nodes...)
		w.publish()
		kinds := 16
		if rapid.Bool().Draw(rt, "some end") {
			kinds = 20
		}
		for range rapid.IntRange(1, 150).Draw(rt, "steps") {
			i := rapid.IntRange(0, len(w.proxies)-1).Draw(rt, "proxy")
			switch rapid.IntRange(0, kinds).Draw(rt, "step") {
			case 0, 1, 2, 3:
				w.now = w.now.Add(time.Duration(rapid.Int64Range(1, int64(1200*time.Millisecond)).Draw(rt, "pass")))
				w.publish()
			case 4, 5, 6, 7:
				w.layer(i)
			case 8, 9, 10, 11, 12, 13:
				w.call(rt, w.proxies[i])
			case 14, 15, 16:
				w.advance(rt, w.proxies[i])
			case 17, 18:
				w.endOld(rt, w.proxies[i])
			case 19:
				w.stream(rt, i)
			case 20:
				w.restart(i)
			}
			probes := 0
			for _, p := range w.proxies {
				probes += p.probes
			}
			if most := permits + w.room; probes > most {
				rt.Fatalf("%d connections since half-open began, want %d at most", probes, most)
			}
		}
	})
}
