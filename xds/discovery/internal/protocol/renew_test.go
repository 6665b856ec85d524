package protocol

import (
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"

	"breakwater.dev/xds"
)

// TestRenewedResources come without their content, unless they have changed or are sent again in any case. After a NACK all come with
// their content.
func TestRenewedResources(t *testing.T) {
	pool := new(xds.Pool)
	s := New(Delta, xds.ClusterType, pool)
	s.Apply(deltaRequest(t, &discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.ClusterType}))
	had := pool.List([]*xds.Resource{cluster("a", "1"), cluster("b", "1"), cluster("c", "1")})
	next := pool.List([]*xds.Resource{cluster("a", "1"), cluster("b", "2"), cluster("c", "1")})
	sent := func(seq uint64, resources *xds.List) map[string]bool { // whether each comes with its content
		t.Helper()
		r := s.Respond(seq, resources, RemoveAll)
		if r == nil {
			return nil
		}
		script := &deltaScript{}
		if err := NewDelta(script).Send(r); err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for _, sent := range script.responses[0].Resources {
			if _, twice := got[sent.Name]; twice {
				t.Errorf("%s is in the response twice", sent.Name)
			}
			got[sent.Name] = sent.Resource != nil
			if want := resources.Find(sent.Name).Version; sent.Version != want {
				t.Errorf("%s has version %s, want %s", sent.Name, sent.Version, want)
			}
			if sent.Ttl.AsDuration() != time.Second {
				t.Errorf("%s lives for %s, want 1s", sent.Name, sent.Ttl.AsDuration())
			}
		}
		return got
	}
	want := func(when string, got map[string]bool, a, b, c string) {
		t.Helper()
		for name, want := range map[string]string{"a": a, "b": b, "c": c} {
			content, there := got[name]
			text := map[bool]string{true: "content", false: "renewed"}[content]
			if !there {
				text = ""
			}
			if text != want {
				t.Errorf("%s: %s is %q, want %q", when, name, text, want)
			}
		}
	}
	answer := func(refusal string) Answer {
		m := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.ClusterType, ResponseNonce: s.nonce}
		if refusal != "" {
			m.ErrorDetail = &rpcstatus.Status{Code: 13, Message: refusal}
		}
		return s.Answer(deltaRequest(t, m), time.Now())
	}
	s.SetTTLs(map[string]time.Duration{"a": time.Second, "b": time.Second, "c": time.Second})
	want("first", sent(1, had), "content", "content", "content")
	answer("")
	s.Renew("a")
	s.Renew("c")
	s.Renew("unknown")
	want("renewed", sent(2, had), "renewed", "", "renewed")
	answer("")
	want("once", sent(3, had), "", "", "")
	s.Renew("a")
	s.Renew("b")
	s.Renew("c")
	s.SendAgain("c")
	want("with a change, and one that is sent again", sent(4, next), "renewed", "content", "content")
	if a := answer("it has expired"); !a.Lapsed || !a.Refused || s.RefusesAny() {
		t.Errorf("the answer is %+v, and it refuses any: %t; want one that has lapsed", a, s.RefusesAny())
	}
	want("after the NACK", sent(5, next), "content", "content", "content")
	if a := answer("no"); a.Lapsed || !s.RefusesAny() {
		t.Errorf("the answer is %+v, and it refuses any: %t; want that it refuses them", a, s.RefusesAny())
	}
}
