package feed

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"breakwater.dev/breaker"
	"breakwater.dev/wire"
)

// TestLogsOfProxiesElsewhere: where a proxy may leave out calls, and it is not known how densely it logs, only sampled calls count, each
// for itself. So a run of failures among them is a run. Where it logs all calls, all of its failures count.
func TestLogsOfProxiesElsewhere(t *testing.T) {
	r := newRig(t)
	r.server.options.Shared = true
	for range 3 {
		r.take(r.logged(route("web", wire.RouteSampled), answered(500)), r.logged(route("web", wire.RouteClosed), answered(500)), r.logged(route("web", wire.RouteSampled), nil))
	}
	r.want("web", breaker.Counts{Requests: 6, Successes: 3, Failures: 3})
	r.server.Applied("one", oneIn(8), r.now-breaker.Instant(time.Minute))
	r.take(r.logged(route("web", wire.RouteSampled), nil), r.logged(route("web", wire.RouteClosed), answered(500)))
	r.want("web", breaker.Counts{Requests: 15, Successes: 11, Failures: 4})
	r.server.Here(nil)
	r.server.Here(nil)
	r.take(r.logged(route("web", wire.RouteSampled), nil), r.logged(route("web", wire.RouteClosed), answered(500)))
	r.want("web", breaker.Counts{Requests: 16, Successes: 12, Failures: 4})
	r.server.Elsewhere(func(key breaker.Key) bool { return key.Upstream != "web" })
	r.take(r.logged(route("web", wire.RouteSampled), nil), r.logged(route("web", wire.RouteClosed), answered(500)))
	r.want("web", breaker.Counts{Requests: 18, Successes: 13, Failures: 5})
	r.server.Elsewhere(func(key breaker.Key) bool { return key.Upstream == "web" })
	r.take(r.logged(route("web", wire.RouteClosed), answered(500)))
	r.want("web", breaker.Counts{Requests: 18, Successes: 13, Failures: 5})
}

// TestLogsGoToTheRightReplica: the log of a proxy that gets its layers from another replica is ended after a second if that one may say
// that it leaves out calls, with a status by which the proxy tries the next replica. All other logs go on.
func TestLogsGoToTheRightReplica(t *testing.T) {
	r := newRig(t)
	r.server.options.Shared = true
	began := time.Now()
	r.server.options.Now = func() breaker.Instant { return r.now.Add(time.Since(began)) }
	r.server.options.Observe = func(breaker.Key, time.Duration, time.Duration, uint64) {} // the rig's is for one stream
	r.server.Elsewhere(func(key breaker.Key) bool { return key.Upstream == "web" })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	client := r.client()
	stream := func(node, upstream string) (send func() error, ended chan error) {
		s, err := client.StreamAccessLogs(ctx)
		if err != nil {
			t.Fatal(err)
		}
		ended = make(chan error, 1)
		go func() { ended <- s.RecvMsg(nil) }()
		return func() error {
			return s.Send(identified(node, wire.RequestLog, r.logged(route(upstream, wire.RouteSampled), nil)))
		}, ended
	}
	here, _ := stream("one", "web")
	elsewhere, ended := stream("two", "web")
	exact, _ := stream("three", "own")
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if here() != nil || exact() != nil {
			t.Fatal("a log has ended that can be counted here")
		}
		_ = elsewhere() // fails when the end has arrived, which has the reason
		r.server.Here(map[string]bool{"one": true})
		select {
		case err := <-ended:
			if grpcstatus.Code(err) != codes.Unavailable || time.Since(began) < time.Second {
				t.Errorf("ended with %v after %s, want %s after a second", err, time.Since(began), codes.Unavailable)
			}
			return
		case <-tick.C:
		}
	}
}
