package extproc

import (
	"testing"

	"google.golang.org/grpc/metadata"

	"breakwater.dev/wire"
)

// TestCallsThatFallBackAreMarked: on a route that leads to the fallback an admitted call is marked and routed again,
// also one of a breaker that is not known; on others it is not.
func TestCallsThatFallBackAreMarked(t *testing.T) {
	for _, upstream := range []string{"http", "nobody"} {
		for _, asking := range []bool{true, false} {
			r := newRig(t, neverTrips)
			s := r.stream(upstream, requestHeaders(), event{err: errCanceled})
			if asking {
				md, _ := metadata.FromIncomingContext(s.ctx)
				s.ctx = metadata.NewIncomingContext(s.ctx, metadata.Join(md, metadata.Pairs(wire.AskingMetadata, "true")))
			}
			if err := r.server.Process(s); err != nil || len(s.answers) != 1 {
				t.Fatalf("%s: answers %v and error %v, want one", upstream, s.answers, err)
			}
			marked := s.answers[0].GetDynamicMetadata().GetFields()[wire.Namespace].GetStructValue().GetFields()[wire.AdmittedKey].GetBoolValue()
			again := s.answers[0].GetRequestHeaders().GetResponse().GetClearRouteCache()
			if marked != asking || again != asking {
				t.Errorf("%s, asking %t: marked %t, routed again %t", upstream, asking, marked, again)
			}
		}
	}
}
