package extproc

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"breakwater.dev/breaker"
	"breakwater.dev/wire"
)

// perNode returns the fields of a policy with a breaker for each proxy.
func perNode(breakerFields string) string { return breakerFields + "\n  scope: Node" }

// from returns e, sent by the proxy with the id.
func from(id string, e event) event {
	e.message.Attributes = map[string]*structpb.Struct{wire.ExtProcFilter: {Fields: map[string]*structpb.Value{
		wire.NodeIDAttribute: structpb.NewStringValue(id),
	}}}
	return e
}

// call makes one call by a proxy and reports whether it was admitted.
func (r *rig) call(upstream, node, status string) (admitted bool) {
	r.t.Helper()
	answers, err := r.run(upstream, from(node, requestHeaders()), responseHeaders(":status", status))
	if err != nil || len(answers) == 0 {
		r.t.Fatalf("answers %v and error %v", answers, err)
	}
	return answers[0].GetImmediateResponse() == nil
}

// nodes returns the ids of the proxies that have their own breaker, sorted.
func (r *rig) nodes() []string {
	var ids []string
	for _, s := range r.engine.AppendSnapshot(nil, r.now()) {
		if s.Key.Node != "" {
			ids = append(ids, s.Key.Node)
		}
	}
	slices.Sort(ids)
	return ids
}

// own returns the status of a proxy's own breaker.
func (r *rig) own(upstream, node string) breaker.Status {
	return r.engine.Node(breaker.Key{Upstream: upstream}, node, r.now()).Status(r.now())
}

// TestEachProxyHasItsOwnBreaker in the scope Node, with a stream captured from a real Envoy.
func TestEachProxyHasItsOwnBreaker(t *testing.T) {
	all := capturedStreams(t)
	stream := all[slices.IndexFunc(all, func(c captured) bool { return c.name == "http-node" })]
	r := newRig(t, perNode(oneProbe))
	if _, err := r.run("http", stream.allEvents()...); err != nil {
		t.Fatal(err)
	}
	if got, want := r.own("http", "shop-1").Counts, outcomes(t, "success"); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	r.call("http", "shop-1", "503")
	for node, want := range map[string]bool{"shop-1": false, "shop-2": true, "": true} {
		if got := r.call("http", node, "200"); got != want {
			t.Errorf("after a failure of shop-1 proxy %q is admitted: %v, want %v", node, got, want)
		}
	}
	if got, want := r.nodes(), []string{"shop-1", "shop-2"}; !slices.Equal(got, want) {
		t.Errorf("breakers of proxies %q, want %q", got, want)
	}
}

// TestScopeMeshIgnoresTheNodeID shows that all proxies share one breaker in the scope Mesh.
func TestScopeMeshIgnoresTheNodeID(t *testing.T) {
	r := newRig(t, oneProbe)
	r.call("http", "shop-1", "503")
	if r.call("http", "shop-2", "200") {
		t.Error("the failure of shop-1 did not open the breaker for shop-2")
	}
	if got := r.nodes(); len(got) > 0 {
		t.Errorf("breakers of proxies %q, want none", got)
	}
}

// TestInvalidNodeIDs shows that proxies without a valid id share one breaker, and get none of their own.
func TestInvalidNodeIDs(t *testing.T) {
	for name, id := range map[string]string{
		"empty": "", "too long": strings.Repeat("x", wire.MaxNodeID+1), "10 KB": strings.Repeat("x", 10<<10),
		"newline": "shop\n1", "escape": "shop\x1b[31m", "nothing": "\x00", "delete": "shop\x7f",
		"not UTF-8": "shop\xff", "turns the text around": "shop\u202e1", "line separator": "shop\u2028",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, perNode(oneProbe))
			if !r.call("http", id, "503") {
				t.Error("the first call was not admitted")
			}
			if r.call("http", "", "200") {
				t.Error("the shared breaker did not get the failure")
			}
			if got := r.nodes(); len(got) > 0 {
				t.Errorf("breakers of proxies %q, want none", got)
			}
		})
	}
}

// TestValidNodeIDs shows that each valid id has its own breaker.
func TestValidNodeIDs(t *testing.T) {
	r := newRig(t, perNode(oneProbe))
	ids := []string{"shop 1", "shop/1@zone", "söder", "-", "店", strings.Repeat("x", wire.MaxNodeID), strings.Repeat("x", wire.MaxNodeID-1) + "y"}
	for _, id := range ids {
		if !r.call("http", id, "503") {
			t.Errorf("%q shares its breaker with another", id)
		}
	}
	slices.Sort(ids)
	if got := r.nodes(); !slices.Equal(got, ids) {
		t.Errorf("breakers of proxies %q, want %q", got, ids)
	}
}

// TestNodeAttributesOfAnyShape shows that attributes without a node id are ignored.
func TestNodeAttributesOfAnyShape(t *testing.T) {
	for name, attributes := range map[string]map[string]*structpb.Struct{
		"none":    nil,
		"nil":     {wire.ExtProcFilter: nil},
		"empty":   {wire.ExtProcFilter: {}},
		"foreign": {"other": {Fields: map[string]*structpb.Value{wire.NodeIDAttribute: structpb.NewStringValue("shop-1")}}},
		"number":  {wire.ExtProcFilter: {Fields: map[string]*structpb.Value{wire.NodeIDAttribute: structpb.NewNumberValue(1)}}},
		"null":    {wire.ExtProcFilter: {Fields: map[string]*structpb.Value{wire.NodeIDAttribute: nil}}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, perNode(neverTrips))
			e := requestHeaders()
			e.message.Attributes = attributes
			if _, err := r.run("http", e, responseHeaders(":status", "200")); err != nil {
				t.Fatal(err)
			}
			if got, want := r.status("http").Counts, outcomes(t, "success"); got != want {
				t.Errorf("counts %+v, want %+v", got, want)
			}
		})
	}
}

// TestCallsAreTimedByKey, without the node, so that the policy bounds the number of metrics.
func TestCallsAreTimedByKey(t *testing.T) {
	r := newRig(t, perNode(neverTrips))
	var got []breaker.Key
	r.server.options.Observe = func(k breaker.Key, _ time.Duration) { got = append(got, k) }
	r.call("http", "shop-1", "200")
	r.call("http", "shop-2", "200")
	if want := (breaker.Key{Upstream: "http"}); !slices.Equal(got, []breaker.Key{want, want}) {
		t.Errorf("observed %v, want %v twice", got, want)
	}
}

// TestReloadInScopeNode serves a stream with the old policy while the engine has the new one, which has no such breaker.
func TestReloadInScopeNode(t *testing.T) {
	r := newRig(t, perNode(neverTrips))
	r.engine.Apply(nil, r.now())
	if !r.call("http", "shop-1", "500") || !r.call("http", "shop-1", "200") {
		t.Error("a call was rejected by a breaker that the policy no longer has")
	}
}

// TestTenThousandProxies shows that many made-up ids cost no proxy a call.
func TestTenThousandProxies(t *testing.T) {
	r := newRig(t, perNode(neverTrips))
	for i := range 10_000 {
		if !r.call("http", fmt.Sprintf("proxy-%d", i), "200") {
			t.Fatalf("proxy %d was rejected", i)
		}
	}
	if got, want := r.server.Counts(), (Counts{Admitted: 10_000}); got != want {
		t.Errorf("server counts %+v, want %+v", got, want)
	}
}
