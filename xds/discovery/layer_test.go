package discovery

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/anypb"

	"breakwater.dev/gate"
	"breakwater.dev/wire"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/protocol"
)

// openGate rejects a share of the calls to an upstream, in one proxy or, if node is empty, in all.
func openGate(upstream, node string, open uint32) gate.Gate {
	g := gate.Gate{Open: open}
	g.Key.Upstream, g.Key.Node = upstream, node
	return g
}

// publishGates makes these the gates.
func publishGates(t fatal, s *Server, decided time.Time, all ...gate.Gate) {
	t.Helper()
	if err := s.PublishGates(gate.NewSet(all, gate.LogFilter{}), decided); err != nil {
		t.Fatalf("publishing gates: %v", err)
	}
}

// opens writes what a layer rejects, as "a=7 b=9"; it is "nothing" without keys.
func opens(layer *runtimev3.Runtime) string {
	var words []string
	fields := layer.GetLayer().GetFields()
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		if name, ok := strings.CutSuffix(key, ".open"); ok {
			share := fields[key].GetStructValue().GetFields()["numerator"].GetNumberValue()
			words = append(words, fmt.Sprintf("%s=%v", strings.TrimPrefix(name, "breakwater."), share))
		}
	}
	if len(fields) == 0 {
		return "nothing"
	}
	return strings.Join(words, " ")
}

// layerOf reads the layer of a response, or says what is wrong with it.
func layerOf(body *anypb.Any) string {
	layer := &runtimev3.Runtime{}
	if err := body.UnmarshalTo(layer); err != nil {
		return err.Error()
	}
	return opens(layer)
}

// layerProxy is a proxy that has asked for its runtime layer, in either protocol. It
// lives in a synctest bubble.
type layerProxy struct {
	link
	t *testing.T
	// open are the responses that it has not answered, oldest first.
	open []*news
}

func connectLayer(t *testing.T, s *Server, l link) *layerProxy {
	t.Helper()
	p := &layerProxy{link: l, t: t}
	p.connect(t, s)
	if err := p.ask(xds.RuntimeType, true, []string{wire.RuntimeLayer}, []string{wire.RuntimeLayer}, nil); err != nil {
		t.Fatal(err)
	}
	return p
}

// gets demands exactly these responses since the last call, each as "a=7 for 15s".
func (p *layerProxy) gets(want ...string) {
	p.t.Helper()
	synctest.Wait()
	var got []string
	for _, n := range p.received() {
		text := layerOf(n.bodies[wire.RuntimeLayer])
		if n.ttl > 0 {
			text += fmt.Sprintf(" for %s", n.ttl)
		}
		got, p.open = append(got, text), append(p.open, n)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		p.t.Fatalf("responses (-want +got)\n%s", diff)
	}
}

func (p *layerProxy) reply(refuse bool) {
	p.t.Helper()
	if len(p.open) == 0 {
		p.t.Fatalf("there is nothing to answer")
	}
	n := p.open[0]
	p.open, n.refused = p.open[1:], refuse
	p.processed(n)
	if err := p.answer(n); err != nil {
		p.t.Fatal(err)
	}
}

// takes is gets and an ACK.
func (p *layerProxy) takes(want string) {
	p.t.Helper()
	p.gets(want)
	p.reply(false)
}

// refuses is gets and a NACK.
func (p *layerProxy) refuses(want string) {
	p.t.Helper()
	p.gets(want)
	p.reply(true)
}

// wait has time pass in a bubble.
func wait(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// beat is the time between the heartbeats of gates that reject a share of the calls, in a server of these tests.
const beat = testTTL / briefly / heartbeats

// forEachLink runs a test in a bubble of its own for each protocol.
func forEachLink(t *testing.T, test func(t *testing.T, newLink func() link)) {
	t.Helper()
	for protocol, newLink := range links {
		t.Run(protocol, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, newLink) })
		})
	}
}

func TestLayersLiveByHeartbeats(t *testing.T) {
	forEachLink(t, func(t *testing.T, newLink func() link) {
		s := newServer()
		p := connectLayer(t, s, newLink())
		p.takes("nothing")
		wait(time.Hour)
		p.gets() // nothing is lost if nothing falls away
		publishGates(t, s, time.Time{}, openGate("a", "", 7))
		p.takes("a=7 for 15s")
		for range 10 {
			wait(beat - 1)
			p.gets()
			wait(1)
			p.takes("a=7 for 15s")
		}
		wait(beat / 2)
		publishGates(t, s, time.Time{}, openGate("a", "", 8))
		p.takes("a=8 for 15s")
		wait(beat - 1) // counted from when it was sent last
		p.gets()
		wait(1)
		p.takes("a=8 for 15s")
		publishGates(t, s, time.Time{})
		p.takes("nothing")
		wait(time.Hour)
		p.gets()
	})
}

// TestOpenLivesLonger: gates of breakers that are on their way back expire much sooner than gates of open breakers. Gates of
// both kinds in one layer expire together.
func TestOpenLivesLonger(t *testing.T) {
	forEachLink(t, func(t *testing.T, newLink func() link) {
		s := newServer()
		p := connectLayer(t, s, newLink())
		p.takes("nothing")
		open, probing := openGate("a", "", wire.Million), openGate("b", "", 0)
		probing.Probe = true
		for _, tt := range []struct {
			gates []gate.Gate
			want  string
			every time.Duration
		}{
			{[]gate.Gate{open}, "a=1e+06 for 1m15s", 25 * time.Second},
			{[]gate.Gate{open, probing}, "a=1e+06 for 15s", 5 * time.Second},
			{[]gate.Gate{open, openGate("b", "", 500_000)}, "a=1e+06 b=500000 for 15s", 5 * time.Second},
			{[]gate.Gate{open, openGate("b", "another", 500_000)}, "a=1e+06 for 1m15s", 25 * time.Second},
		} {
			publishGates(t, s, time.Time{}, tt.gates...)
			p.takes(tt.want)
			wait(tt.every - 1)
			p.gets()
			wait(1)
			p.takes(tt.want)
		}
	})
}

func TestTTLOfTheOptions(t *testing.T) {
	forEachLink(t, func(t *testing.T, newLink func() link) {
		o := newServer().options
		o.TTL = 3 * time.Second
		s := NewServer(o)
		publishGates(t, s, time.Time{}, openGate("a", "", 7))
		p := connectLayer(t, s, newLink())
		p.takes("a=7 for 1s")
		wait(time.Second / heartbeats)
		p.takes("a=7 for 1s")
	})
}

// A proxy that is connected and does not answer gets one response, not a pile.
func TestLayersDoNotPileUp(t *testing.T) {
	forEachLink(t, func(t *testing.T, newLink func() link) {
		s := newServer()
		p := connectLayer(t, s, newLink())
		p.takes("nothing")
		publishGates(t, s, time.Time{}, openGate("a", "", 7))
		p.gets("a=7 for 15s")
		wait(time.Hour)
		for share := range uint32(100) {
			publishGates(t, s, time.Time{}, openGate("a", "", 100+share))
			wait(beat)
		}
		p.gets()
		p.reply(false)
		p.gets("a=199 for 15s")
		wait(time.Hour)
		p.gets()
		p.reply(false)
		p.takes("a=199 for 15s") // a heartbeat that was due when the answer came
		p.gets()
	})
}

// A refused layer is not sent again before its pause is over: not as a heartbeat, and not with other gates that make the same
// layer.
func TestLayersThatAreRefused(t *testing.T) {
	forEachLink(t, func(t *testing.T, newLink func() link) {
		s := newServer()
		p := connectLayer(t, s, newLink())
		p.takes("nothing")
		publishGates(t, s, time.Time{}, openGate("a", "", 7))
		p.refuses("a=7 for 15s")
		wait(protocol.FirstRetry / 2)
		publishGates(t, s, time.Time{}, openGate("a", "", 7), openGate("b", "other", 7))
		p.gets()
		same(t, refusedNames(s), []string{"runtime breakwater: poisoned (code 13)"})

		publishGates(t, s, time.Time{}, openGate("a", "", 8))
		p.takes("a=8 for 15s")
		same(t, refusedNames(s), nil)
		wait(beat)
		p.refuses("a=8 for 15s") // a heartbeat
		wait(protocol.FirstRetry / 2)
		p.gets()
		if n := s.Counts()[xds.RuntimeType].NACKs; n != 2 {
			t.Errorf("%d refusals counted, want 2", n)
		}
		publishGates(t, s, time.Time{})
		p.takes("nothing")
	})
}

// A proxy that comes back has a layer that is about to fall away.
func TestLayersOfProxiesThatComeBack(t *testing.T) {
	forEachLink(t, func(t *testing.T, newLink func() link) {
		s, l := newServer(), newLink()
		publishGates(t, s, time.Time{}, openGate("a", "", 7))
		p := connectLayer(t, s, l)
		p.takes("a=7 for 15s")
		p.disconnect()
		p = connectLayer(t, s, l)
		p.takes("a=7 for 15s")
		publishGates(t, s, time.Time{})
		p.takes("nothing")
		p.disconnect()
		p = connectLayer(t, s, l)
		p.gets()
		publishGates(t, s, time.Time{}, openGate("a", "", 7))
		p.takes("a=7 for 15s")
	})
}

func TestLayersOfOneProxy(t *testing.T) {
	forEachLink(t, func(t *testing.T, newLink func() link) {
		s := newServer()
		p := connectLayer(t, s, newLink()) // it is app-1
		p.takes("nothing")
		publishGates(t, s, time.Time{}, openGate("a", "app-2", 7))
		p.gets()
		publishGates(t, s, time.Time{}, openGate("a", "app-2", 7), openGate("b", "app-1", 8), openGate("c", "", 9))
		p.takes("b=8 c=9 for 15s")
	})
}

// A proxy that asks for a layer that does not exist gets that answer once, and no heartbeats.
func TestLayersOfOtherNames(t *testing.T) {
	forEachLink(t, func(t *testing.T, newLink func() link) {
		s := newServer()
		publishGates(t, s, time.Time{}, openGate("a", "", 7))
		p := &layerProxy{link: newLink(), t: t}
		p.connect(t, s)
		if err := p.ask(xds.RuntimeType, true, []string{"mine"}, []string{"mine"}, nil); err != nil {
			t.Fatal(err)
		}
		for _, n := range p.received() {
			if len(n.bodies) != 0 {
				t.Errorf("it is sent %s", n.text())
			}
			if err := p.answer(n); err != nil {
				t.Fatal(err)
			}
		}
		wait(time.Hour)
		publishGates(t, s, time.Time{}, openGate("a", "", 8))
		p.gets()
	})
}

// A stream that hung in the middle of sending for longer than the TTL says the layer
// first when it goes on, whatever else there is to say.
func TestLayersAfterAStandstill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a)
		publishGates(t, s, time.Time{}, openGate("a", "", 7))
		p := &deltaProxy{t: t, node: nodeOf("app-1", nil)}
		p.deltaPipe = newPipe[discoveryv3.DeltaDiscoveryRequest, discoveryv3.DeltaDiscoveryResponse](t.Context(), 0)
		go p.run(s, protocol.NewDelta(p.deltaPipe))
		defer p.cancel()
		p.subscribe(xds.RuntimeType, wire.RuntimeLayer)
		p.ack(<-p.out)
		p.subscribe(xds.EndpointType, "a")
		p.ack(<-p.out)
		publish(t, s, ae)
		synctest.Wait() // it hangs in sending the endpoints
		wait(time.Hour)
		publishGates(t, s, time.Time{}, openGate("a", "", 8))
		p.subscribe(xds.ClusterType)
		var got []string
		for range 3 {
			got = append(got, deltaText(<-p.out))
			synctest.Wait()
		}
		same(t, got, []string{"endpoints +a", "runtime +breakwater", "clusters +a"})
	})
}

// appliedLog records the reports to [Options.Applied], as "app-1 a=7 at 5s".
func appliedLog(log *[]string) func(string, *gate.Set, time.Time) {
	began := time.Now()
	return func(node string, g *gate.Set, at time.Time) {
		what := "no gates"
		if g != nil {
			l, err := xds.NewLayers(g)
			if err != nil {
				panic(err) // they were published
			}
			what = opens(l.Layer(node).Message().(*runtimev3.Runtime))
		}
		*log = append(*log, fmt.Sprintf("%s %s at %s", node, what, at.Sub(began)))
	}
}

// wantRecorded checks the entries that were recorded since its last call.
func wantRecorded(t *testing.T, log *[]string, want ...string) {
	t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(want, *log); diff != "" {
		t.Fatalf("recorded (-want +got)\n%s", diff)
	}
	*log = nil
}

func TestApplied(t *testing.T) {
	forEachLink(t, func(t *testing.T, newLink func() link) {
		var log []string
		o, l := newServer().options, newLink()
		o.Applied = appliedLog(&log)
		s := NewServer(o)
		p := connectLayer(t, s, l)
		p.gets("nothing")
		wantRecorded(t, &log, "app-1 no gates at -1s")
		wait(time.Second)
		p.reply(false)
		wantRecorded(t, &log, "app-1 nothing at 1s")
		publishGates(t, s, time.Time{}, openGate("a", "", 7))
		p.gets("a=7 for 15s")
		wait(time.Second)
		p.reply(false)
		wantRecorded(t, &log, "app-1 a=7 at 2s", "app-1 no gates at 16s") // counted from when it was sent
		wait(beat - time.Second)
		p.takes("a=7 for 15s")
		wantRecorded(t, &log, "app-1 a=7 at 6s", "app-1 no gates at 21s")
		publishGates(t, s, time.Time{}, openGate("a", "", 8))
		p.refuses("a=8 for 15s")
		wantRecorded(t, &log) // it keeps what it had for the rest of the TTL
		publishGates(t, s, time.Time{}, openGate("a", "", 9))
		p.gets("a=9 for 15s")
		wait(defaultTTL)
		p.reply(false) // so late that the layer has expired
		wantRecorded(t, &log)
		p.takes("a=9 for 15s")
		wantRecorded(t, &log, "app-1 a=9 at 21s", "app-1 no gates at 36s")
		publishGates(t, s, time.Time{})
		p.takes("nothing")
		wantRecorded(t, &log, "app-1 nothing at 21s")
		p.disconnect()
		wait(time.Second)
		connectLayer(t, s, l).gets()
		wantRecorded(t, &log, "app-1 nothing at 22s")
	})
}

// TestReportsMayCallTheServer: it holds no lock when it reports.
func TestReportsMayCallTheServer(t *testing.T) {
	forEachLink(t, func(t *testing.T, newLink func() link) {
		var s *Server
		applied, propagated := 0, 0
		use := func() {
			s.Status()
			s.Calls("shop")
			s.Counts()
			s.rollouts.Counts()
			publish(t, s, a)
			eject(t, s, "a")
			publishGates(t, s, time.Time{}, openGate("a", "", 7))
		}
		o := newServer().options
		o.Applied = func(string, *gate.Set, time.Time) { applied++; use() }
		o.Propagated = func(time.Duration) { propagated++; use() }
		s = NewServer(o)
		p := connectLayer(t, s, newLink())
		p.takes("a=7 for 15s") // as published by the first report
		publishGates(t, s, time.Now(), openGate("a", "", 8))
		p.takes("a=8 for 15s")
		p.takes("a=7 for 15s")
		if applied < 4 || propagated != 1 {
			t.Errorf("reported %d times what is applied, and %d times how long it took; want 4 at least, and once", applied, propagated)
		}
	})
}

// TestTheSameLayerForAShorterTime: a breaker of connections has the same keys when it is open and, in a proxy without
// a permit, half-open; within a second the proxy gets them again with a shorter TTL.
func TestTheSameLayerForAShorterTime(t *testing.T) {
	forEachLink(t, func(t *testing.T, newLink func() link) {
		s, none := newServer(), uint32(0)
		open := openGate("db", "", 0)
		open.Connections = &none
		halfOpen := open
		halfOpen.Probe = true
		p := connectLayer(t, s, newLink())
		p.takes("nothing")
		publishGates(t, s, time.Time{}, open)
		long := func() (ttl time.Duration) {
			synctest.Wait()
			for _, n := range p.received() {
				ttl = n.ttl
				if err := p.answer(n); err != nil {
					t.Fatal(err)
				}
			}
			return ttl
		}
		if got := long(); got != testTTL {
			t.Errorf("of an open breaker it lives for %s, want %s", got, testTTL)
		}
		wait(beat - time.Second)
		publishGates(t, s, time.Now(), halfOpen)
		wait(time.Second)
		if got := long(); got != testTTL/briefly {
			t.Errorf("of one in half-open it lives for %s, want %s", got, testTTL/briefly)
		}
		rolled(t, s, RolloutCounts{})
	})
}

// TestALayerThatIsDueWhileTheStreamLooks is sent again: its pause may be over when the other types are looked
// at, and not yet when the layer is.
func TestALayerThatIsDueWhileTheStreamLooks(t *testing.T) {
	forEachLink(t, func(t *testing.T, newLink func() link) {
		var late atomic.Pointer[time.Time] // from when on each look at the clock finds it later
		o := newServer().options
		o.Now = func() time.Time {
			if at := late.Load(); at != nil {
				next := at.Add(time.Microsecond)
				late.Store(&next)
				return *at
			}
			return time.Now()
		}
		s := NewServer(o)
		publish(t, s, a)
		publishGates(t, s, time.Time{}, openGate("a", "", 7))
		p := connectLayer(t, s, newLink())
		p.refuses("a=7 for 15s")
		synctest.Wait()
		due := s.streams.all()[0].proxy.Subscription(xds.RuntimeType).Due()
		wait(time.Until(due) - time.Millisecond)
		at := due.Add(-2 * time.Microsecond) // the layer is looked at with the second look at the clock
		late.Store(&at)
		s.streams.all()[0].wake()
		synctest.Wait()
		late.Store(nil)
		wait(time.Second)
		p.takes("a=7 for 15s")
	})
}
