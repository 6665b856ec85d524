package discovery

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"breakwater.dev/gate"
	"breakwater.dev/wire"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/lease"
	"breakwater.dev/xds/discovery/internal/protocol"
)

// partsProxy is a proxy that has asked for the parts of its runtime layer. It lives in a synctest bubble.
type partsProxy struct{ *layerProxy }

func connectParts(t *testing.T, s *Server, l link) *partsProxy {
	t.Helper()
	p := &partsProxy{&layerProxy{link: l, t: t}}
	p.connect(t, s)
	if err := p.ask(xds.RuntimeType, true, parts(), parts(), nil); err != nil {
		t.Fatal(err)
	}
	return p
}

// partsText writes the parts in a response, each as "a=7 for 15s", or "a=7 renewed for 15s" where its content is left out. Parts
// without keys are counted.
func partsText(n *news) string {
	var words []string
	empty := 0
	for _, name := range slices.Sorted(maps.Keys(n.bodies)) {
		text := layerOf(n.bodies[name])
		if text == "nothing" {
			empty++
			continue
		}
		if n.bare[name] {
			text += " renewed"
		}
		words = append(words, fmt.Sprintf("%s for %s", text, n.ttls[name]))
	}
	slices.Sort(words)
	if empty > 0 {
		words = append(words, fmt.Sprintf("%d empty", empty))
	}
	return strings.Join(words, ", ")
}

// gets demands exactly these responses since the last call, as partsText writes them.
func (p *partsProxy) gets(want ...string) {
	p.t.Helper()
	synctest.Wait()
	var got []string
	for _, n := range p.received() {
		got, p.open = append(got, partsText(n)), append(p.open, n)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		p.t.Fatalf("responses (-want +got)\n%s", diff)
	}
}

// takes is gets and an answer, which is an ACK unless a real proxy has to refuse the response.
func (p *partsProxy) takes(want string) {
	p.t.Helper()
	p.gets(want)
	p.reply(false)
}

// inBubble runs a test with a proxy that uses delta, and has taken a layer without keys.
func inBubble(t *testing.T, test func(t *testing.T, s *Server, p *partsProxy, applied *[]string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var log []string
		o := newServer().options
		o.Applied = appliedLog(&log)
		s := NewServer(o)
		p := connectParts(t, s, newDeltaLink())
		p.takes("16 empty")
		synctest.Wait()
		log = nil
		test(t, s, p, &log)
	})
}

// open is a gate of an open breaker.
func open(upstream string) gate.Gate { return openGate(upstream, "", wire.Million) }

// TestAChangeSendsItsPart, and nothing of the others.
func TestAChangeSendsItsPart(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server, p *partsProxy, _ *[]string) {
		publishGates(t, s, time.Time{}, open("a"))
		p.takes("a=1e+06 for 1m15s")
		publishGates(t, s, time.Time{}, open("a"), open("b"))
		p.takes("b=1e+06 for 1m15s")
		publishGates(t, s, time.Time{}, open("b"))
		p.takes("1 empty")
		publishGates(t, s, time.Time{}, openGate("b", "another", 7), open("b"))
		p.gets()
	})
}

// TestPartsNeedDelta: Envoy ends when one of several layers expires that came over SotW, so such a proxy gets none. Each of them alone is
// served.
func TestPartsNeedDelta(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publishGates(t, s, time.Time{}, open("b"))
		part := wire.RuntimePart(wire.RuntimePartOf(open("b").Key))
		l := links["sotw"]().(*sotwLink)
		l.connect(t, s)
		if err := l.ask(xds.RuntimeType, true, []string{part}, nil, nil); err != nil {
			t.Fatal(err)
		}
		n := l.received()
		if got := layerOf(n[0].bodies[part]); len(n) != 1 || got != "b=1e+06" {
			t.Fatalf("one part is %q, want that of b", got)
		}
		l.processed(n[0])
		if err := l.answer(n[0]); err != nil {
			t.Fatal(err)
		}
		if err := l.ask(xds.RuntimeType, false, parts(), nil, nil); err != nil {
			t.Fatal(err)
		}
		if err := <-l.ended; status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "DELTA_GRPC") {
			t.Errorf("the stream ended with %v, want InvalidArgument, and what to do", err)
		}
	})
}

// TestOneResponseRenewsAllParts that are due, or will be soon, and leaves their content out.
func TestOneResponseRenewsAllParts(t *testing.T) {
	const beat = testTTL / lease.PerTTL
	inBubble(t, func(t *testing.T, s *Server, p *partsProxy, _ *[]string) {
		publishGates(t, s, time.Time{}, open("a"))
		p.takes("a=1e+06 for 1m15s")
		wait(time.Second)
		publishGates(t, s, time.Time{}, open("a"), open("b"))
		p.takes("b=1e+06 for 1m15s")
		wait(beat - 2*time.Second)
		publishGates(t, s, time.Time{}, open("a"), open("b"), open("c"))
		p.takes("c=1e+06 for 1m15s") // it was sent so late that it can wait for the next time
		p.gets()
		wait(time.Second - 1)
		p.gets()
		wait(1)
		p.takes("a=1e+06 renewed for 1m15s, b=1e+06 renewed for 1m15s")
		wait(beat - time.Second)
		p.takes("a=1e+06 renewed for 1m15s, b=1e+06 renewed for 1m15s, c=1e+06 renewed for 1m15s")
		for range 10 {
			wait(beat - 1)
			p.gets()
			wait(1)
			p.takes("a=1e+06 renewed for 1m15s, b=1e+06 renewed for 1m15s, c=1e+06 renewed for 1m15s")
		}
	})
}

// TestPartsThatTheProxyMayHaveDropped come with their content: the control plane hung, or the proxy was late with its answer.
func TestPartsThatTheProxyMayHaveDropped(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server, p *partsProxy, _ *[]string) {
		publishGates(t, s, time.Time{}, open("a"))
		p.gets("a=1e+06 for 1m15s")
		wait(testTTL)
		p.reply(false)
		p.takes("a=1e+06 for 1m15s")
		wait(testTTL / lease.PerTTL)
		p.gets("a=1e+06 renewed for 1m15s")
		wait(testTTL * 2 / lease.PerTTL)
		p.reply(false)
		p.takes("a=1e+06 for 1m15s")
	})
}

// TestAProxyThatHasDroppedPartsGetsThemAtOnce: it refuses to renew what it does not have, and with that the whole response. That is no
// NACK of a layer.
func TestAProxyThatHasDroppedPartsGetsThemAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server, p *partsProxy, _ *[]string) {
		publishGates(t, s, time.Time{}, open("a"), open("b"))
		p.takes("a=1e+06 for 1m15s, b=1e+06 for 1m15s")
		wait(testTTL / lease.PerTTL)
		p.gets("a=1e+06 renewed for 1m15s, b=1e+06 renewed for 1m15s")
		p.link.(*deltaLink).falls[wire.RuntimePart(wire.RuntimePartOf(open("a").Key))] = time.Now()
		p.reply(false) // it is a NACK: see deltaLink
		p.takes("a=1e+06 for 1m15s, b=1e+06 for 1m15s")
		p.gets()
		if n := s.Counts()[xds.RuntimeType].NACKs; n != 0 {
			t.Errorf("%d refusals are counted, want none", n)
		}
		same(t, refusedNames(s), nil)
		// A change that came with the renewal is not lost.
		wait(testTTL/lease.PerTTL - 1)
		p.link.(*deltaLink).falls[wire.RuntimePart(wire.RuntimePartOf(open("a").Key))] = time.Now().Add(time.Second)
		wait(1)
		p.gets("a=1e+06 renewed for 1m15s, b=1e+06 renewed for 1m15s")
		publishGates(t, s, time.Now(), open("a"), openGate("b", "", 7))
		wait(time.Second)
		p.reply(false)
		rolled(t, s, RolloutCounts{Begun: 1, Waiting: 1})
		p.takes("a=1e+06 for 1m15s, b=7 for 15s")
		rolled(t, s, RolloutCounts{Begun: 1})
		// A change that is in the response beside the renewal comes again, and is not refused.
		wait(beat)
		p.gets("b=7 renewed for 15s")
		publishGates(t, s, time.Now(), openGate("a", "", 9), openGate("b", "", 7))
		wait(beat)
		p.reply(false)
		p.gets("a=9 for 15s, b=7 renewed for 15s")
		p.link.(*deltaLink).falls[wire.RuntimePart(wire.RuntimePartOf(open("b").Key))] = time.Now()
		p.reply(false)
		rolled(t, s, RolloutCounts{Begun: 2, Waiting: 1})
		p.takes("a=9 for 15s, b=7 for 15s")
		rolled(t, s, RolloutCounts{Begun: 2})
	})
}

// TestAProxyThatComesBackGetsWhatItLacks: the parts that it still has are renewed, and the parts that have changed come with their content.
func TestAProxyThatComesBackGetsWhatItLacks(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server, p *partsProxy, log *[]string) {
		publishGates(t, s, time.Time{}, open("a"), open("b"))
		p.takes("a=1e+06 for 1m15s, b=1e+06 for 1m15s")
		p.disconnect()
		wait(time.Second)
		publishGates(t, s, time.Time{}, open("a"), openGate("b", "", 7), open("c"))
		synctest.Wait()
		*log = nil
		p = connectParts(t, s, p.link)
		p.takes("a=1e+06 renewed for 1m15s, b=7 for 15s, c=1e+06 for 1m15s")
		wantRecorded(t, log, "app-1 a=1e+06 b=7 c=1e+06 at 1s", "app-1 a=1e+06 c=1e+06 at 16s", "app-1 no gates at 1m16s")
		// All of it is gone, and comes again.
		p.disconnect()
		wait(2 * testTTL)
		p = connectParts(t, s, p.link)
		p.takes("a=1e+06 for 1m15s, b=7 for 15s, c=1e+06 for 1m15s")
	})
}

// TestPartsOnTheirWayBackAreBrief, and others are not. The gates that the proxy applies are known part by part, until it drops the last.
func TestPartsOnTheirWayBackAreBrief(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server, p *partsProxy, log *[]string) {
		probing := openGate("b", "", 0)
		probing.Probe = true
		probing.Sampling.Passed = 2
		publishGates(t, s, time.Time{}, open("a"), openGate("b", "", 7))
		p.takes("a=1e+06 for 1m15s, b=7 for 15s")
		wantRecorded(t, log, "app-1 a=1e+06 b=7 at 0s", "app-1 a=1e+06 at 15s", "app-1 no gates at 1m15s")
		wait(beat)
		p.takes("b=7 renewed for 15s")
		wantRecorded(t, log, "app-1 a=1e+06 b=7 at 5s", "app-1 a=1e+06 at 20s", "app-1 no gates at 1m15s")
		publishGates(t, s, time.Time{}, open("a"), open("b"))
		p.takes("b=1e+06 for 1m15s")
		wantRecorded(t, log, "app-1 a=1e+06 b=1e+06 at 5s", "app-1 b=1e+06 at 1m15s", "app-1 no gates at 1m20s")
	})
}

// TestAPartThatIsRefusedKeepsNoOtherBack: the proxy then applies a mix of two sets of gates.
func TestAPartThatIsRefusedKeepsNoOtherBack(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Server, p *partsProxy, log *[]string) {
		publishGates(t, s, time.Time{}, open("a"), open("b"))
		p.takes("a=1e+06 for 1m15s, b=1e+06 for 1m15s")
		synctest.Wait()
		*log = nil
		publishGates(t, s, time.Time{}, open("a"), openGate("b", "", 7))
		p.gets("b=7 for 15s")
		p.reply(true)
		wantRecorded(t, log)
		publishGates(t, s, time.Time{}, openGate("a", "", 8), openGate("b", "", 7))
		p.takes("a=8 for 15s")
		wantRecorded(t, log, "app-1 a=8 b=1e+06 at 0s", "app-1 b=1e+06 at 15s", "app-1 no gates at 1m15s")
		// It is tried again after growing pauses, and not when the other is renewed.
		pause, last := protocol.FirstRetry, time.Now()
		for range 60 {
			wait(time.Second)
			for _, n := range p.received() {
				if text := partsText(n); text == "b=7 for 15s" {
					if since := time.Since(last); since < pause*3/4 {
						t.Errorf("it comes again after %s, want %s at least", since, pause*3/4)
					}
					n.refused, pause, last = true, 2*pause, time.Now()
				} else if text != "a=8 renewed for 15s" {
					t.Errorf("it is sent %s", text)
				}
				p.processed(n)
				if err := p.answer(n); err != nil {
					t.Fatal(err)
				}
			}
		}
		if pause < 16*protocol.FirstRetry {
			t.Errorf("the last pause was %s, want more", pause/2)
		}
	})
}

// TestGatesComeBetweenResponses of a first sync: they wait for one response at most.
func TestGatesComeBetweenResponses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a)
		publishGates(t, s, time.Time{}, open("a"))
		p := &deltaProxy{t: t, node: nodeOf("app-1", nil), deltaPipe: newPipe[discoveryv3.DeltaDiscoveryRequest, discoveryv3.DeltaDiscoveryResponse](t.Context(), 0)}
		go p.run(s, protocol.NewDelta(p.deltaPipe))
		defer p.cancel()
		p.subscribe(xds.RuntimeType, parts()...)
		p.ack(<-p.out)
		p.subscribe(xds.ClusterType)
		p.ack(<-p.out)
		p.subscribe(xds.EndpointType, "a")
		p.ack(<-p.out)
		publish(t, s, up{name: "a", balancer: "RoundRobin"}) // it hangs in sending the cluster, and has the endpoints ready
		synctest.Wait()
		publishGates(t, s, time.Time{}, open("a"), open("b"))
		var got []string
		for range 3 {
			got = append(got, deltaText(<-p.out))
			synctest.Wait()
		}
		same(t, got, []string{"clusters +a", "runtime +" + wire.RuntimePart(wire.RuntimePartOf(open("b").Key)), "endpoints +a"})
	})
}
