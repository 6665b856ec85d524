package feed

import (
	"testing"
	"time"

	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"

	"breakwater.dev/breaker"
	"breakwater.dev/wire"
)

// second has the proxy log the calls of one second: some that passed, and some that it rejected.
func (r *rig) second(passed, rejected int) {
	entries := make([]*datav3.HTTPAccessLogEntry, 0, passed+rejected)
	for range passed {
		entries = append(entries, r.logged(route("web", wire.RouteSampled), nil))
	}
	for range rejected {
		entries = append(entries, r.logged(route("web", wire.RouteCounted), nil))
	}
	r.take(entries...)
	r.now = r.now.Add(time.Second)
}

// sampling returns how densely the calls of a breaker are to be logged.
func (r *rig) sampling(key breaker.Key) wire.Sampling {
	r.t.Helper()
	s, ok := r.server.Sample(r.now)[key]
	if !ok {
		r.t.Fatalf("no sampling for %s", key)
	}
	return s
}

// TestSampleFollowsTheBusiestProxy: all proxies log as densely as the busiest one can.
func TestSampleFollowsTheBusiestProxy(t *testing.T) {
	web := breaker.Key{Upstream: "web"}
	r := newRig(t)
	r.second(40, 90)
	if got, want := r.sampling(web), (wire.Sampling{Passed: 1, Rejected: 1}); got != want {
		t.Errorf("a quiet proxy: %+v, want %+v", got, want)
	}
	r.worker = newWorker(r.server, r.server.node("two", ""), "")
	r.second(1000, 150)
	if got, want := r.sampling(web), (wire.Sampling{Passed: 32, Rejected: 4}); got != want {
		t.Errorf("a busy proxy: %+v, want %+v", got, want)
	}
	if got := r.server.Rate(web); got < 1150 || got > 1300 {
		t.Errorf("%v calls/s of both, want 1150 and the rest of the first one's", got)
	}
	if got := r.server.Rate(breaker.Key{Upstream: "web", Node: "two"}); got != 1150 {
		t.Errorf("%v calls/s of the second, want 1150", got)
	}
	if got := r.server.Rate(breaker.Key{Upstream: "own"}); got != 0 {
		t.Errorf("%v calls/s of a breaker without traffic", got)
	}
	if got := r.server.Sample(r.now); got != nil {
		t.Errorf("sampling %v though no time has passed", got)
	}
}

// TestSamplingIsForgotten with the breaker, as a proxy is that has had no stream for a while.
func TestSamplingIsForgotten(t *testing.T) {
	r := newRig(t)
	r.second(10, 0)
	r.sampling(breaker.Key{Upstream: "web"})
	r.now = r.now.Add(2 * retention)
	r.server.Sample(r.now)
	if len(r.server.nodes.byID) != 0 {
		t.Errorf("%d proxies are remembered that have no stream", len(r.server.nodes.byID))
	}
	r.server.Apply(emptySet)
	if got := r.server.Sample(r.now.Add(time.Second)); len(got) != 0 {
		t.Errorf("sampling %+v without a policy", got)
	}
}
