package discovery

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"breakwater.dev/wire"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/protocol"
)

// refuser is a proxy that refuses every response of some types, whatever and whenever it
// comes, and takes all others. It counts what it is sent.
type refuser struct {
	*peer
	refuses map[string]bool
	sent    map[string]int
	first   map[string]time.Time
	second  map[string]time.Time
}

// subscribe asks for everything of every type, by name where Envoy does.
func (r *refuser) subscribe(t *testing.T, secrets []string) {
	t.Helper()
	for _, typeURL := range xds.Types {
		var names []string
		switch typeURL {
		case xds.EndpointType:
			names = []string{"a", "b"}
		case xds.SecretType:
			names = secrets
		case xds.RouteType:
			names = []string{wire.RoutesName}
		case xds.VirtualHostType:
			if names = []string{wire.RoutesName}; r.full() {
				continue // they are within the routes
			}
		case xds.RuntimeType:
			names = []string{wire.RuntimeLayer}
		}
		if err := r.want(typeURL, names, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// live answers at once, for d.
func (r *refuser) live(t *testing.T, d time.Duration) {
	t.Helper()
	end := time.Now().Add(d)
	for {
		synctest.Wait()
		all := r.received()
		for _, n := range all {
			n.refused = r.refuses[n.typeURL]
			if n.refused && !r.full() && (len(n.bodies) > 1 || n.bodies["b"] != nil || n.bodies[wire.VirtualHost("b")] != nil || n.bodies[wire.VirtualHost("*")] != nil) {
				if err := r.answer(n); err != nil { // refused together, and then tried one by one
					t.Fatal(err)
				}
				continue
			}
			r.sent[n.typeURL]++
			if _, seen := r.first[n.typeURL]; !seen {
				r.first[n.typeURL] = time.Now()
			} else if _, seen := r.second[n.typeURL]; !seen {
				r.second[n.typeURL] = time.Now()
			}
			if err := r.answer(n); err != nil {
				t.Fatal(err)
			}
		}
		if len(all) > 0 {
			continue
		}
		if !time.Now().Before(end) {
			return
		}
		wait(10 * time.Millisecond)
	}
}

func newRefuser(l link, refuses ...string) *refuser {
	r := &refuser{peer: newPeer(l), refuses: map[string]bool{}, sent: map[string]int{},
		first: map[string]time.Time{}, second: map[string]time.Time{}}
	for _, typeURL := range refuses {
		r.refuses[typeURL] = true
	}
	return r
}

// TestWhatIsRefusedIsTriedAgainWithGrowingPauses counts what a proxy is sent of each type that
// it always refuses: a few times in the first minute, and then about once a minute.
func TestWhatIsRefusedIsTriedAgainWithGrowingPauses(t *testing.T) {
	for _, typeURL := range xds.Types {
		t.Run(shortType(typeURL), func(t *testing.T) {
			forEachLink(t, func(t *testing.T, newLink func() link) {
				if typeURL == xds.VirtualHostType && newLink().full() {
					return // they are within the routes
				}
				s := newServer()
				publish(t, s, secured, b)
				publishGates(t, s, time.Time{}, openGate("a", "", 7))
				r := newRefuser(newLink(), typeURL)
				r.connect(t, s)
				defer r.disconnect()
				r.subscribe(t, []string{"ca:/tls/ca.pem"})
				r.live(t, time.Minute)
				// 1, 2, 4, 8, 16 and 32 s, each a quarter shorter or longer: the sixth try
				// is due between 47 and 79 s.
				if got := r.sent[typeURL]; got < 5 || got > 8 {
					t.Errorf("sent %d times in the first minute, want 6 or so", got)
				}
				if pause := r.second[typeURL].Sub(r.first[typeURL]); pause < 3*protocol.FirstRetry/4 || pause > 5*protocol.FirstRetry/4+20*time.Millisecond {
					t.Errorf("the first pause is %s", pause)
				}
				r.sent = map[string]int{}
				r.live(t, time.Hour)
				if got := r.sent[typeURL]; got < 45 || got > 82 {
					t.Errorf("sent %d times in an hour, want 60 or so", got)
				}
				same(t, refusedTypes(s), []string{shortType(typeURL)})

				r.refuses = nil
				r.sent = map[string]int{}
				r.live(t, 2*protocol.LastRetry)
				if r.sent[typeURL] == 0 {
					t.Error("not sent again after it could be taken")
				}
				same(t, refusedTypes(s), nil)
			})
		})
	}
}

// TestPausesBeginAnewWithNewContent: a correction is sent at once, and if it is refused
// too, the first pause is short again.
func TestPausesBeginAnewWithNewContent(t *testing.T) {
	forEachLink(t, func(t *testing.T, newLink func() link) {
		s := newServer()
		publish(t, s, a)
		r := newRefuser(newLink(), xds.ClusterType)
		r.connect(t, s)
		defer r.disconnect()
		r.subscribe(t, nil)
		r.live(t, time.Hour)
		r.sent = map[string]int{}
		publish(t, s, a2)
		r.live(t, 0)
		if got := r.sent[xds.ClusterType]; got != 1 {
			t.Errorf("a correction is sent %d times at once, want 1", got)
		}
		r.live(t, 5*protocol.FirstRetry/4+20*time.Millisecond)
		if got := r.sent[xds.ClusterType]; got != 2 {
			t.Errorf("sent %d times by the end of the first pause, want 2", got)
		}
	})
}

// TestOneSecretAtATime: Envoy refuses a response as a whole, and one whose file is missing
// must keep no other from a proxy.
func TestOneSecretAtATime(t *testing.T) {
	forEachLink(t, func(t *testing.T, newLink func() link) {
		s := newServer()
		second := b
		second.ca = "/tls/other.pem"
		publish(t, s, secured, second)
		r := newRefuser(newLink())
		r.connect(t, s)
		defer r.disconnect()
		r.subscribe(t, []string{"ca:/tls/ca.pem", "ca:/tls/other.pem"})
		for range 2 {
			var got []*news
			for len(got) == 0 {
				synctest.Wait()
				for _, n := range r.received() {
					if n.typeURL == xds.SecretType {
						got = append(got, n)
						continue
					}
					if err := r.answer(n); err != nil {
						t.Fatal(err)
					}
				}
			}
			if len(got) != 1 || len(got[0].bodies) != 1 {
				t.Fatalf("got %d responses, the first with %d secrets, want one with one", len(got), len(got[0].bodies))
			}
			_, got[0].refused = got[0].bodies["ca:/tls/ca.pem"]
			if err := r.answer(got[0]); err != nil {
				t.Fatal(err)
			}
		}
		same(t, refusedNames(s), []string{"secrets ca:/tls/ca.pem: poisoned (code 13)"})
	})
}

// refusedTypes are the types of which a proxy has refused something.
func refusedTypes(s *Server) []string {
	var types []string
	for _, n := range s.Status() {
		for _, typ := range n.Types {
			if typ.NACK != nil {
				types = append(types, shortType(typ.Type))
			}
		}
	}
	return types
}

// TestTakenIsToldWhenAllIs: one of two refused resources may be taken before the other.
func TestTakenIsToldWhenAllIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lockedLog
		s := NewServer(Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Now: time.Now})
		defer s.Close()
		publish(t, s, a, b)
		p := connectDelta(t, s, nodeOf("app-1", nil))
		p.subscribe(xds.ClusterType)
		p.nack(p.gets1("clusters +a +b"))
		p.nack(p.gets1("clusters +a"))
		p.nack(p.gets1("clusters +b"))
		publish(t, s, a2, b)
		wantLogged := func(want int) {
			t.Helper()
			synctest.Wait()
			if got := strings.Count(log.String(), "has taken what it had refused"); got != want {
				t.Fatalf("in the log %d times, want %d:\n%s", got, want, log.String())
			}
		}
		p.ack(p.gets1("clusters +a"))
		wantLogged(0)
		p.gets()
		time.Sleep(2 * protocol.FirstRetry)
		p.ack(p.gets1("clusters +b"))
		wantLogged(1)
		publish(t, s, a, b)
		p.ack(p.gets1("clusters +a"))
		wantLogged(1)
	})
}

// TestRefusalOfAnUnwantedResource: a proxy drops its interest in a resource that is on its way, and then refuses it. Such
// a refusal is not shown, and the resource is not sent again.
func TestRefusalOfAnUnwantedResource(t *testing.T) {
	quiet := func(t *testing.T, s *Server, got func() int) {
		t.Helper()
		same(t, refusedTypes(s), nil)
		wait(3 * protocol.LastRetry)
		if n := got(); n > 0 {
			t.Errorf("%d responses follow a refusal of a resource that the proxy no longer wants", n)
		}
	}
	t.Run("delta", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newServer()
			defer s.Close()
			publish(t, s, a, b)
			p := connectDelta(t, s, nodeOf("app-1", nil))
			p.subscribe(xds.ClusterType)
			m := p.gets1("clusters +a +b")
			p.say(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: m.TypeUrl, ResourceNamesUnsubscribe: []string{"*"}})
			p.nack(m)
			quiet(t, s, func() int { return len(drained(p.out)) })
		})
	})
	t.Run("sotw", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newServer()
			defer s.Close()
			publish(t, s, a, b)
			p := connectSotw(t, s, nodeOf("app-1", nil))
			p.subscribe(xds.ClusterType, "")
			m := p.gets1("clusters =a =b")
			p.subscribe(xds.ClusterType, "", "none")
			p.nack(m)
			p.ack(p.gets1("clusters"))
			quiet(t, s, func() int { return len(drained(p.out)) })
		})
	})
}
