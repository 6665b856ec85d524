package discovery

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"breakwater.dev/gate"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/node"
	"breakwater.dev/xds/discovery/internal/protocol"
)

func TestBadIntroductions(t *testing.T) {
	many := make([]any, node.MaxUpstreams+1)
	for i := range many {
		many[i] = fmt.Sprint("u", i)
	}
	tests := map[string]struct {
		node *corev3.Node
		want string
	}{
		"no node":             {nil, "node.id"},
		"no id":               {nodeOf("", nil), "node.id"},
		"an id too long":      {nodeOf(strings.Repeat("x", wire.MaxNodeID+1), nil), "257 bytes; must have at most 256"},
		"an id of two lines":  {nodeOf("x\ny", nil), "printable"},
		"listen a name":       {nodeOf("x", map[string]any{wire.MetadataListen: "localhost:1"}), wire.MetadataListen},
		"listen a number":     {nodeOf("x", map[string]any{wire.MetadataListen: 10000}), wire.MetadataListen},
		"upstreams a string":  {nodeOf("x", map[string]any{wire.MetadataUpstreams: "a"}), wire.MetadataUpstreams},
		"upstreams numbers":   {only("a", 1), wire.MetadataUpstreams},
		"upstreams an empty":  {only(""), wire.MetadataUpstreams},
		"upstreams too long":  {only("a", strings.Repeat("x", policy.MaxName+1)), "[1] has 64 bytes; must be the name of an upstream, which has at most 63"},
		"upstreams too many":  {nodeOf("x", map[string]any{wire.MetadataUpstreams: many}), "at most 10000"},
		"upstreams of a null": {nodeOf("x", map[string]any{wire.MetadataUpstreams: nil}), wire.MetadataUpstreams},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer()
				publish(t, s, a)
				p := connectDelta(t, s, tt.node)
				p.subscribe(xds.ClusterType)
				err := <-p.ended
				if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("ended with %v; want InvalidArgument that says %q", err, tt.want)
				}
				p.gets()
			})
		})
	}
}

func TestUnknownTypesAreIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a)
		p := connectDelta(t, s, nodeOf("app-1", nil))
		p.subscribe("type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration", "x")
		p.subscribe("")
		p.gets()
		p.subscribe(xds.ClusterType)
		p.gets("clusters +a")
		if n := len(s.Status()[0].Types); n != 1 {
			t.Errorf("%d types in the status, want 1", n)
		}
	})
}

func TestTooManyNames(t *testing.T) {
	names := make([]string, maxNames+1)
	for i := range names {
		names[i] = fmt.Sprint(i)
	}
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a)
		d := connectDelta(t, s, nodeOf("delta", nil))
		d.subscribe(xds.EndpointType, names[:maxNames]...)
		d.settle() // these are not too many
		d.subscribe(xds.EndpointType, names[maxNames])
		if err := <-d.ended; status.Code(err) != codes.ResourceExhausted {
			t.Errorf("delta ended with %v", err)
		}
		w := connectSotw(t, s, nodeOf("sotw", nil))
		w.subscribe(xds.EndpointType, "", names...)
		if err := <-w.ended; status.Code(err) != codes.ResourceExhausted {
			t.Errorf("SotW ended with %v", err)
		}
	})
}

// A proxy with a wildcard that asks for ever new names and gives them up again
// must not grow the server.
func TestNamesGivenUpAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a)
		p := connectDelta(t, s, nodeOf("app-1", nil))
		p.subscribe(xds.ClusterType)
		p.settle()
		st := s.streams.all()[0]
		one := st.proxy.Weight(nil)
		for i := range 100 {
			name := fmt.Sprint("none", i)
			p.subscribe(xds.ClusterType, name)
			p.settle()
			p.say(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.ClusterType, ResourceNamesUnsubscribe: []string{name}})
		}
		if w := st.proxy.Weight(nil); w != one || w.Sent == 0 {
			t.Errorf("what is remembered weighs %+v, want that of one resource, %+v", w, one)
		}
	})
}

// script reads bytes as what a proxy does.
type script struct{ *bytes.Reader }

func (s script) next(n int) int {
	b, err := s.ReadByte()
	if err != nil {
		return 0
	}
	return int(b) % n
}

func (s script) names() []string {
	all := []string{"a", "b", "none", "*", "", wire.EgressName}
	var names []string
	for range s.next(4) {
		names = append(names, all[s.next(len(all))])
	}
	return names
}

func (s script) typeURL() string {
	return append([]string{"", "type.googleapis.com/unknown"}, xds.Types...)[s.next(len(xds.Types)+2)]
}

func (s script) policy() []up {
	return [][]up{{a}, {a, b}, {a2, b}, {ae, b2}, {ah}, nil}[s.next(6)]
}

// change is something that happens at the control plane.
func (s script) change(t *testing.T, server *Server) {
	switch s.next(4) {
	case 0:
		publish(t, server, s.policy()...)
	case 1:
		all := []gate.Gate{openGate("a", "", uint32(s.next(3))), openGate("b", "fuzz", uint32(s.next(3)))}
		publishGates(t, server, time.Now(), all[s.next(3):]...)
	case 2:
		eject(t, server, "a", [][]string{nil, {endpointOfAll}}[s.next(2)]...)
	case 3:
		wait(time.Duration(s.next(8)) * beat / 2)
	}
}

func seeds(f *testing.F) {
	f.Helper()
	f.Add([]byte{})
	f.Add([]byte{0, 2, 0, 0, 0, 0, 1, 0, 0, 5, 2, 0, 2, 0, 0, 0, 0, 1, 1})
	f.Add([]byte{0, 2, 0, 0, 0, 0, 0, 3, 1, 0, 0, 0, 0, 5, 3, 0, 2, 0, 0, 1, 0, 2, 0, 2, 0, 3, 1, 2, 0, 1, 0})
	f.Add([]byte{3, 1, 1, 1, 0, 0, 6, 1, 5, 0, 0, 0, 0, 3, 3, 7, 0, 6, 0, 0, 0, 0, 2, 0, 3, 1, 2, 2, 1})
	f.Add(bytes.Repeat([]byte{1, 2, 3, 0, 5, 0, 4}, 30))
	f.Add([]byte{0, 2, 0, 0, 1, 3, 0, 0, 0, 2, 0, 2, 0, 3, 3, 1}) // in SotW, it refuses and waits
}

func FuzzDelta(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		synctest.Test(t, func(t *testing.T) {
			s, in := newServer(), script{bytes.NewReader(data)}
			p := connectDelta(t, s, nodeOf("fuzz", nil))
			open := map[string]string{} // nonce by type
			for in.Len() > 0 && len(p.ended) == 0 {
				if in.next(4) == 3 {
					in.change(t, s)
				} else {
					m := &discoveryv3.DeltaDiscoveryRequest{
						TypeUrl: in.typeURL(), ResourceNamesSubscribe: in.names(), ResourceNamesUnsubscribe: in.names(),
					}
					if in.next(3) == 0 {
						m.InitialResourceVersions = map[string]string{"a": "1", "gone": "2"}
					}
					m.ResponseNonce = []string{"", "1", open[m.TypeUrl]}[in.next(3)]
					if in.next(4) == 0 {
						m.ErrorDetail = refusalOf("no")
					}
					if m.ResponseNonce == open[m.TypeUrl] {
						delete(open, m.TypeUrl)
					}
					p.say(m)
				}
				synctest.Wait()
				for _, m := range drained(p.out) {
					if nonce, ok := open[m.TypeUrl]; ok {
						t.Fatalf("%s is sent while %s %q awaits its answer", deltaText(m), shortType(m.TypeUrl), nonce)
					}
					open[m.TypeUrl] = m.Nonce
				}
				s.Status()
			}
			close(p.in)
			if err := <-p.ended; err != nil {
				t.Errorf("ended with %v", err)
			}
		})
	})
}

func FuzzSotw(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		synctest.Test(t, func(t *testing.T) {
			s, in := newServer(), script{bytes.NewReader(data)}
			p := connectSotw(t, s, nodeOf("fuzz", nil))
			open, last := map[string]string{}, map[string]string{} // nonce and version by type
			refused := map[string]time.Time{}                      // when the last version was, by type
			several := false                                       // the proxy asks for several runtime layers
			for in.Len() > 0 && len(p.ended) == 0 {
				if in.next(4) == 3 {
					in.change(t, s)
				} else {
					m := &discoveryv3.DiscoveryRequest{TypeUrl: in.typeURL()}
					names := in.names()
					if strings.Join(names, " ") != strings.Join(p.names[m.TypeUrl], " ") {
						delete(last, m.TypeUrl)
					}
					p.names[m.TypeUrl] = names
					if m.TypeUrl == xds.RuntimeType {
						layers := slices.Compact(slices.Sorted(slices.Values(names)))
						several = len(slices.DeleteFunc(layers, func(name string) bool { return name == "*" })) > 1
					}
					m.ResponseNonce = []string{"", "1", open[m.TypeUrl]}[in.next(3)]
					if in.next(4) == 0 {
						m.ErrorDetail = refusalOf("no")
					}
					if nonce, ok := open[m.TypeUrl]; ok && m.ResponseNonce == nonce {
						delete(open, m.TypeUrl)
						if m.ErrorDetail != nil {
							refused[m.TypeUrl] = time.Now()
						}
					}
					p.say(m)
				}
				synctest.Wait()
				for _, m := range drained(p.out) {
					if nonce, ok := open[m.TypeUrl]; ok {
						t.Fatalf("%s is sent while %q awaits its answer", sotwText(m), nonce)
					}
					at, ok := refused[m.TypeUrl]
					due := ok && time.Since(at) >= protocol.FirstRetry*3/4
					if m.VersionInfo == last[m.TypeUrl] && !due && m.TypeUrl != xds.EndpointType && m.TypeUrl != xds.RuntimeType {
						t.Fatalf("%s is sent twice in version %s", sotwText(m), m.VersionInfo)
					}
					delete(refused, m.TypeUrl)
					open[m.TypeUrl], last[m.TypeUrl] = m.Nonce, m.VersionInfo
				}
				s.Status()
			}
			close(p.in)
			// A proxy that asks for several layers over SotW would crash later.
			if err := <-p.ended; (status.Code(err) == codes.InvalidArgument) != several {
				t.Errorf("ended with %v; asked for several layers: %t", err, several)
			}
		})
	})
}

// TestWhatANodeListsIsCounted: the metadata of a node is counted, and the memory of logged upstreams is bounded.
func TestWhatANodeListsIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a)
		for i := range 3 {
			var names []any
			for j := range node.MaxUpstreams {
				names = append(names, fmt.Sprintf("unknown-%d-%d", i, j))
			}
			n := only(names...)
			n.Id = fmt.Sprint("app-", i)
			size := int64(proto.Size(n.Metadata))
			p := connectDelta(t, s, n)
			p.subscribe(xds.ClusterType)
			if st := s.streams.all()[0]; st.weight.node < size {
				t.Errorf("of metadata of %d bytes %d are counted", size, st.weight.node)
			}
			if got := len(s.denied.logged); got > maxDeniedLogged {
				t.Errorf("%d upstreams are remembered, want %d at most", got, maxDeniedLogged)
			}
			p.cancel()
			synctest.Wait()
		}
	})
}

// TestVersionsThatAProxyClaims and that cannot be ours do not keep the proxy from what is there.
func TestVersionsThatAProxyClaims(t *testing.T) {
	long := strings.Repeat("v", 1<<20)
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a)
		d := connectDelta(t, s, nodeOf("delta", nil))
		d.say(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.ClusterType, InitialResourceVersions: map[string]string{"a": long}})
		d.gets("clusters +a")
		w := connectSotw(t, s, nodeOf("sotw", nil))
		w.took[xds.ClusterType] = long
		w.subscribe(xds.ClusterType, "")
		w.gets("clusters =a")
	})
}
