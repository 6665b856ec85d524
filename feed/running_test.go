package feed

import (
	"fmt"
	"testing"
	"time"

	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"breakwater.dev/breaker"
	"breakwater.dev/wire"
)

// hanging is a request that began at an instant on a connection.
type hanging struct {
	route      string
	connection int
	began      breaker.Instant
}

// tag is the tag that the proxy gives to each of the request's entries.
func (h *hanging) tag(r *rig, c *datav3.AccessLogCommon) {
	c.StartTime = timestamppb.New(wall(h.began))
	c.CustomTags = map[string]string{wire.RunningTag: fmt.Sprintf("%d/%d", h.connection, r.now.Sub(h.began).Milliseconds())}
}

// running is the entry of the request while it hangs.
func (h *hanging) running(r *rig, change func(*datav3.HTTPAccessLogEntry)) *datav3.HTTPAccessLogEntry {
	return r.logged(h.route, func(e *datav3.HTTPAccessLogEntry) {
		h.tag(r, e.CommonProperties)
		e.CommonProperties.AccessLogType, e.CommonProperties.Duration = datav3.AccessLogType_DownstreamPeriodic, nil
		e.CommonProperties.TimeToFirstUpstreamRxByte, e.Response = nil, nil
		if change != nil {
			change(e)
		}
	})
}

// ended is the entry of the request when it has ended in a way.
func (h *hanging) ended(r *rig, how func(*datav3.HTTPAccessLogEntry)) *datav3.HTTPAccessLogEntry {
	return r.logged(h.route, func(e *datav3.HTTPAccessLogEntry) {
		if how != nil {
			how(e)
		}
		lasted := r.now.Sub(h.began)
		e.CommonProperties.Duration = durationpb.New(lasted)
		if e.CommonProperties.TimeToFirstUpstreamRxByte != nil {
			e.CommonProperties.TimeToFirstUpstreamRxByte = durationpb.New(lasted)
		}
		h.tag(r, e.CommonProperties)
	})
}

// window returns the window of an upstream's breaker.
func (r *rig) window(upstream string) breaker.WindowCounts {
	return r.engine.Breaker(breaker.Key{Upstream: upstream}).Status(r.now).Window
}

// TestRunningCallsAreSlowOnce: a call that hangs counts in the window when it has become slow, however often it is logged, and
// ends as what it was. In the totals it counts when it has ended.
func TestRunningCallsAreSlowOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		how    func(*datav3.HTTPAccessLogEntry)
		counts breaker.Counts
		window breaker.WindowCounts
	}{
		"answered": {nil, breaker.Counts{Requests: 1, Successes: 1, Slow: 1}, breaker.WindowCounts{Calls: 1, Slow: 1}},
		"failed":   {answered(500), breaker.Counts{Requests: 1, Failures: 1, Slow: 1}, breaker.WindowCounts{Calls: 1, Failures: 1, Slow: 1, Run: 1}},
		"timed out": {unanswered(0, &datav3.ResponseFlags{UpstreamRequestTimeout: true}),
			breaker.Counts{Requests: 1, Failures: 1, Timeouts: 1, Slow: 1}, breaker.WindowCounts{Calls: 1, Failures: 1, Slow: 1, Run: 1}},
		"left": {unanswered(0, left), breaker.Counts{Requests: 1, Ignored: 1, Slow: 1}, breaker.WindowCounts{Calls: 1, Slow: 1}},
		"ignored": {func(e *datav3.HTTPAccessLogEntry) {
			unanswered(0, &datav3.ResponseFlags{UpstreamOverflow: true})(e)
			answered(503)(e)
		}, breaker.Counts{Requests: 1, Ignored: 1}, breaker.WindowCounts{}},
	} {
		for _, kind := range []wire.RouteKind{wire.RouteClosed, wire.RouteSampled} {
			t.Run(name+" "+kind.String(), func(t *testing.T) {
				r := newRig(t)
				r.server.Applied("one", oneIn(64), 0)
				h := &hanging{route("web", kind), 3, r.now}
				r.now = r.now.Add(1999 * time.Millisecond)
				r.take(h.running(r, nil))
				if got := r.window("web"); got.Calls > 0 {
					t.Errorf("window %+v before the call is slow", got)
				}
				r.now = r.now.Add(time.Millisecond)
				r.take(h.running(r, nil), h.running(r, nil))
				if got, want := r.window("web"), (breaker.WindowCounts{Calls: 1, Slow: 1}); got != want {
					t.Errorf("window %+v while it hangs, want %+v", got, want)
				}
				r.want("web", breaker.Counts{})
				if got := r.server.Counts(); got.Running != 1 || got.Skipped != 2 || r.observed[breaker.Key{Upstream: "web"}] != 0 {
					t.Errorf("counts %+v and %v observed, want 1 running, 2 skipped and none", got, r.observed)
				}
				r.now = r.now.Add(3 * time.Second)
				r.take(h.ended(r, tt.how))
				r.want("web", tt.counts)
				if got := r.window("web"); got != tt.window {
					t.Errorf("window %+v, want %+v", got, tt.window)
				}
				if n := r.node.running.Len(); n != 0 || r.server.nodes.running.Load() != 0 {
					t.Errorf("%d calls are remembered", n)
				}
			})
		}
	}
}

// TestRunningCallsThatAreNotSlow: only the service's time makes a call slow, and only calls of this data path count.
func TestRunningCallsThatAreNotSlow(t *testing.T) {
	for name, tt := range map[string]struct {
		route  string
		change func(*datav3.HTTPAccessLogEntry)
		want   uint64
	}{
		"slow":           {route("web", wire.RouteClosed), nil, 1},
		"of a proxy":     {route("own", wire.RouteClosed), nil, 1},
		"Inline":         {"inline", nil, 0},
		"a probe":        {route("web", wire.RouteProbe), nil, 0},
		"rejected":       {route("web", wire.RouteRejected), nil, 0},
		"no breaker":     {route("unknown", wire.RouteClosed), nil, 0},
		"without a tag":  {route("web", wire.RouteClosed), func(e *datav3.HTTPAccessLogEntry) { e.CommonProperties.CustomTags = nil }, 0},
		"with a bad tag": {route("web", wire.RouteClosed), func(e *datav3.HTTPAccessLogEntry) { e.CommonProperties.CustomTags[wire.RunningTag] = "-/-" }, 0},
		"answered": {route("web", wire.RouteClosed), func(e *datav3.HTTPAccessLogEntry) {
			e.Response = &datav3.HTTPResponseProperties{ResponseCode: wrapperspb.UInt32(200)}
		}, 0},
		"uploading": {route("web", wire.RouteClosed), func(e *datav3.HTTPAccessLogEntry) { e.CommonProperties.TimeToLastRxByte = nil }, 0},
		"a WebSocket": {route("web", wire.RouteClosed), func(e *datav3.HTTPAccessLogEntry) {
			e.CommonProperties.TimeToLastRxByte = nil
			e.Request = &datav3.HTTPRequestProperties{RequestHeaders: map[string]string{"upgrade": "websocket"}}
		}, 1},
		"long upload": {route("web", wire.RouteClosed), func(e *datav3.HTTPAccessLogEntry) {
			e.CommonProperties.TimeToLastRxByte = durationpb.New(time.Second + 1)
		}, 0},
		"tried again": {route("web", wire.RouteClosed), func(e *datav3.HTTPAccessLogEntry) {
			e.CommonProperties.TimeToFirstUpstreamRxByte, e.CommonProperties.UpstreamRequestAttemptCount = durationpb.New(time.Second), 2
			e.Response = &datav3.HTTPResponseProperties{ResponseCodeDetails: "via_upstream"}
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			h := &hanging{tt.route, 1, r.now}
			r.now = r.now.Add(3 * time.Second)
			r.take(h.running(r, tt.change))
			if got := r.server.Counts(); got.Running != tt.want || got.Running+got.Skipped != 1 {
				t.Errorf("counts %+v, want %d running", got, tt.want)
			}
		})
	}
}

// TestRunningCallsOfOneProxy: its calls are told apart by their connections and the times at which they began. The end of a call can
// come on another stream than the report that it hangs.
func TestRunningCallsOfOneProxy(t *testing.T) {
	r := newRig(t)
	began := r.now
	calls := []*hanging{
		{route("web", wire.RouteClosed), 1, began}, {route("web", wire.RouteClosed), 2, began},
		{route("web", wire.RouteClosed), 1, began.Add(time.Microsecond)},
	}
	r.now = r.now.Add(2100 * time.Millisecond)
	for _, h := range calls {
		r.take(h.running(r, nil))
	}
	if got, want := r.window("web"), (breaker.WindowCounts{Calls: 3, Slow: 3}); got != want {
		t.Fatalf("window %+v, want %+v", got, want)
	}
	r.worker.leave()
	r.now = r.now.Add(time.Second)
	r.worker = newWorker(r.server, r.node, "")
	for _, h := range calls {
		r.take(h.ended(r, answered(500)))
	}
	if got, want := r.window("web"), (breaker.WindowCounts{Calls: 3, Failures: 3, Slow: 3, Run: 3}); got != want {
		t.Errorf("window %+v, want %+v", got, want)
	}
	r.want("web", breaker.Counts{Requests: 3, Failures: 3, Slow: 3})
}

// TestRunningCallsOfAProxyThatIsForgotten take up no room.
func TestRunningCallsOfAProxyThatIsForgotten(t *testing.T) {
	r := newRig(t)
	h := &hanging{route("web", wire.RouteClosed), 1, r.now}
	r.now = r.now.Add(3 * time.Second)
	r.take(h.running(r, nil))
	if got := r.server.nodes.running.Load(); got != 1 {
		t.Fatalf("%d calls are remembered, want 1", got)
	}
	r.node.streams = 1
	r.worker.leave()
	r.now = r.now.Add(retention)
	r.server.Sample(r.now)
	if got := r.server.nodes.running.Load(); got != 0 {
		t.Errorf("%d calls are remembered when the proxy is forgotten", got)
	}
}
