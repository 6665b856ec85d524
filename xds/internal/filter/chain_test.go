package filter

import (
	"testing"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"breakwater.dev/policy"
)

// TestRoutesTurnOnFiltersOfTheChain: each filter that a route turns on is in the listener, where it is off, and the router
// comes last.
func TestRoutesTurnOnFiltersOfTheChain(t *testing.T) {
	chain, err := Chain(false)
	if err != nil {
		t.Fatal(err)
	}
	off := map[string]bool{}
	for i, f := range chain {
		if last := i == len(chain)-1; (f.GetName() == routerFilter) != last || f.GetDisabled() == last {
			t.Errorf("filter %d is %s, disabled: %t", i, f.GetName(), f.GetDisabled())
		}
		off[f.GetName()] = f.GetDisabled()
	}
	b := &policy.Breaker{Fallback: policy.Fallback{Cached: &policy.Cached{TTL: time.Second}}}
	own := *b
	own.Spec.PerNode = true
	r := &routev3.Route{}
	for name, err := range map[string]error{
		"mark": MarkForLog(r), "ask": AskExtProc(r, policy.HTTP1, b, false), "ask as a node": AskExtProc(r, policy.HTTP1, &own, true),
		"keep": KeepCopies(r, policy.HTTP1, b), "serve": ServeCopies(r, policy.HTTP1, b),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name := range r.TypedPerFilterConfig {
		if !off[name] {
			t.Errorf("filter %s, which a route turns on, is on or is not in the listener", name)
		}
	}
	if got, want := len(r.TypedPerFilterConfig), len(chain)-1; got != want {
		t.Errorf("routes turn on %d filters, want %d", got, want)
	}
}

// TestRequestsAskAnotherReplica shows that a request asks once more if it has got no answer, where there is another control plane to ask.
func TestRequestsAskAnotherReplica(t *testing.T) {
	for _, replicas := range []bool{false, true} {
		for _, attributes := range [][]string{nil, requestAttributes()} {
			if p := extProc(attributes, replicas).GetGrpcService().GetRetryPolicy(); (p.GetNumRetries().GetValue() > 0) != replicas {
				t.Errorf("replicas: %t, and the policy for retries is %v", replicas, p)
			}
		}
	}
}
