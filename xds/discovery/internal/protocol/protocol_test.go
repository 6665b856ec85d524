package protocol

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/message"
	"breakwater.dev/xds/internal/resource"
)

// script is a gRPC stream of requests Q that are known before, which records the responses R.
type script[Q, R any] struct {
	requests  []*Q
	responses []*R
}

func (s *script[Q, R]) Recv() (*Q, error) {
	if len(s.requests) == 0 {
		return nil, io.EOF
	}
	q := s.requests[0]
	s.requests = s.requests[1:]
	return q, nil
}

func (s *script[Q, R]) RecvMsg(request any) error {
	q, err := s.Recv()
	if err != nil {
		return err
	}
	b, err := proto.Marshal(any(q).(proto.Message))
	if err != nil {
		return err
	}
	return request.(*message.DeltaRequest).Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)})
}

// deltaRequest returns a request of the delta protocol as it is received.
func deltaRequest(t interface{ Fatal(...any) }, m *discoveryv3.DeltaDiscoveryRequest) Request {
	r, err := NewDelta(&deltaScript{requests: []*discoveryv3.DeltaDiscoveryRequest{m}}).Recv()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (s *script[Q, R]) SendMsg(frame any) error {
	r := new(R)
	if err := proto.Unmarshal(frame.(message.Frame).Buffers().Materialize(), any(r).(proto.Message)); err != nil {
		return err
	}
	s.responses = append(s.responses, r)
	return nil
}

type (
	deltaScript = script[discoveryv3.DeltaDiscoveryRequest, discoveryv3.DeltaDiscoveryResponse]
	sotwScript  = script[discoveryv3.DiscoveryRequest, discoveryv3.DiscoveryResponse]
)

// received returns the next request of a stream.
func received(t *testing.T, s Stream) Request {
	t.Helper()
	r, err := s.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func cluster(name, version string) *xds.Resource {
	return resource.New(name, version, &anypb.Any{TypeUrl: xds.ClusterType, Value: []byte(version)})
}

func list(all ...*xds.Resource) *xds.List {
	var pool *xds.Pool
	return pool.List(all)
}

// TestVersionsOfOthers are not kept where they are too long to be ours; that the proxy has come back is known.
func TestVersionsOfOthers(t *testing.T) {
	long := strings.Repeat("v", maxVersion+1)
	streams := map[string]Stream{
		"delta": NewDelta(&deltaScript{requests: []*discoveryv3.DeltaDiscoveryRequest{{InitialResourceVersions: map[string]string{"a": long}}}}),
		"SotW":  NewSotw(&sotwScript{requests: []*discoveryv3.DiscoveryRequest{{VersionInfo: long}}}),
	}
	for name, stream := range streams {
		t.Run(name, func(t *testing.T) {
			s := New(stream.Kind(), xds.ClusterType, &xds.Pool{})
			if first := s.Apply(received(t, stream)); !first {
				t.Error("the first request is not the first")
			}
			kept := s.version
			if a := s.Sent().Find("a"); a != nil {
				kept += a.Version
			}
			if kept != "" || !s.Resumed() {
				t.Errorf("a version of %d bytes is kept; resumed %t, want true", len(kept), s.Resumed())
			}
		})
	}
}

// TestOneStory tells in both variants how a resource is sent, refused, sent again after its pause, taken, and removed when it
// is no longer used.
func TestOneStory(t *testing.T) {
	refused := &rpcstatus.Status{Code: 13, Message: "no"}
	delta := &deltaScript{requests: []*discoveryv3.DeltaDiscoveryRequest{{}, {ResponseNonce: "1", ErrorDetail: refused}, {ResponseNonce: "2"}}}
	sotw := &sotwScript{requests: []*discoveryv3.DiscoveryRequest{{}, {ResponseNonce: "1", ErrorDetail: refused}, {ResponseNonce: "2"}}}
	for name, stream := range map[string]Stream{"delta": NewDelta(delta), "SotW": NewSotw(sotw)} {
		t.Run(name, func(t *testing.T) {
			s, now, seq := New(stream.Kind(), xds.ClusterType, &xds.Pool{}), time.Unix(1_000_000, 0), uint64(0)
			all := list(cluster("a", "1"))
			hears := func() Answer {
				r := received(t, stream)
				a := s.Answer(r, now)
				s.Apply(r)
				return a
			}
			gets := func(want string, removals Removals) {
				t.Helper()
				seq++
				got := "nothing"
				if r := s.Respond(seq, all, removals); r != nil {
					names := slices.Clone(r.Removed)
					for i := range names {
						names[i] = "-" + names[i]
					}
					for _, resource := range r.Resources {
						names = append(names, resource.Name)
					}
					got = strings.Join(names, " ")
					if err := stream.Send(r); err != nil {
						t.Fatal(err)
					}
				} else {
					seq--
				}
				if got != want {
					t.Errorf("after %s it gets %q, want %q", now.Sub(time.Unix(1_000_000, 0)), got, want)
				}
			}
			hears()
			gets("a", RemoveAll)
			if a := hears(); !a.Awaited || !a.Refused || a.Message != "no (code 13)" || !slices.Equal(a.Names, []string{"a"}) {
				t.Errorf("the answer is %+v", a)
			}
			gets("nothing", RemoveAll)
			now = s.Due()
			s.Retry(now)
			gets("a", RemoveAll)
			if a := hears(); !a.Recovered || s.RefusesAny() || s.Accepted() != 1 || !s.LastACK().Equal(now) {
				t.Errorf("the answer is %+v, and then %d resources are accepted since %s", a, s.Accepted(), s.LastACK())
			}
			all = nil
			gets("nothing", Removals{})
			if next := s.MarkUnused(all, now, time.Second); next != time.Second {
				t.Errorf("a may go after %s, want 1s", next)
			}
			gets("nothing", RemoveUnused(now.Add(-time.Second)))
			now = now.Add(time.Second)
			want := "-a"
			if stream.Kind() == Sotw {
				want = "" // all clusters that there are
			}
			gets(want, RemoveUnused(now.Add(-time.Second)))
		})
	}
	if len(delta.responses) != 3 || len(sotw.responses) != 3 {
		t.Errorf("sent %d and %d responses, want 3 each", len(delta.responses), len(sotw.responses))
	}
}

// TestNothingRecoversThatIsNotRefused: a proxy refuses only what it has dropped, and takes something else afterwards.
func TestNothingRecoversThatIsNotRefused(t *testing.T) {
	stream := NewDelta(&deltaScript{requests: []*discoveryv3.DeltaDiscoveryRequest{
		{}, {ResourceNamesUnsubscribe: []string{"*"}}, {ResponseNonce: "1", ErrorDetail: &rpcstatus.Status{Code: 13, Message: "no"}},
		{ResourceNamesSubscribe: []string{"b"}}, {ResponseNonce: "2"},
	}})
	s, now, seq := New(Delta, xds.ClusterType, &xds.Pool{}), time.Unix(1_000_000, 0), uint64(0)
	for range 5 {
		r := received(t, stream)
		if a := s.Answer(r, now); a.Recovered {
			t.Error("it has recovered")
		}
		s.Apply(r)
		seq++
		if r := s.Respond(seq, list(cluster("a", "1"), cluster("b", "1")), RemoveAll); r == nil {
			seq--
		}
	}
	if s.LastACK().IsZero() || s.Accepted() != 1 {
		t.Errorf("at last it has %d resources, want 1", s.Accepted())
	}
}
