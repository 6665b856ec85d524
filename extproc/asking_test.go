package extproc

import (
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"breakwater.dev/wire"
)

// TestAdmittedCallsAreMarked on a route that leads to the fallback, and routed again, even if the breaker is not known.
// Calls on other routes are not marked.
func TestAdmittedCallsAreMarked(t *testing.T) {
	for _, upstream := range []string{"http", "unknown"} {
		for _, asking := range []bool{true, false} {
			r := newRig(t, neverTrips)
			run := r.run
			if asking {
				run = func(upstream string, events ...event) ([]*extprocv3.ProcessingResponse, error) {
					return r.with(wire.AskingMetadata, upstream, events...)
				}
			}
			answers, err := run(upstream, requestHeaders(), event{err: errCanceled})
			if err != nil || len(answers) != 1 {
				t.Fatalf("%s: answers %v and error %v, want one", upstream, answers, err)
			}
			marked := answers[0].GetDynamicMetadata().GetFields()[wire.Namespace].GetStructValue().GetFields()[wire.AdmittedKey].GetBoolValue()
			again := answers[0].GetRequestHeaders().GetResponse().GetClearRouteCache()
			if marked != asking || again != asking {
				t.Errorf("%s, asking %t: marked %t, routed again %t", upstream, asking, marked, again)
			}
		}
	}
}
