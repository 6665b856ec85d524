package feed

import (
	"fmt"
	"math"
	"testing"
	"time"

	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"breakwater.dev/breaker"
	"breakwater.dev/feed/internal/clock"
	"breakwater.dev/wire"
)

// logger logs requests to a feed, as a proxy does whose clock is set.
type logger struct {
	*rig
	streams map[string]*worker
}

func newLogger(t *testing.T) *logger {
	r := newRig(t)
	return &logger{rig: r, streams: map[string]*worker{"": r.worker}}
}

// call logs on a stream a request that ended some time ago, by a proxy's clock that is off. It returns how far the feed is wrong
// about the end of the request.
func (l *logger) call(stream string, ago, off time.Duration) time.Duration {
	l.t.Helper()
	return l.entry(stream, l.now.Add(-ago), off, time.Millisecond)
}

// entry is call for a request that ended at an instant and took a while.
func (l *logger) entry(stream string, ended breaker.Instant, off, took time.Duration) time.Duration {
	l.t.Helper()
	return l.raw(stream, timestamppb.New(wall(ended).Add(off-took)), took).Sub(ended)
}

// raw logs a request with any start, and returns when it ended according to the feed.
func (l *logger) raw(stream string, start *timestamppb.Timestamp, took time.Duration) breaker.Instant {
	l.t.Helper()
	if l.streams[stream] == nil {
		l.streams[stream] = newWorker(l.server, l.node, "")
	}
	l.worker, l.endpoints = l.streams[stream], nil
	l.message(&alsv3.StreamAccessLogsMessage{LogEntries: &alsv3.StreamAccessLogsMessage_HttpLogs{
		HttpLogs: &alsv3.StreamAccessLogsMessage_HTTPAccessLogEntries{LogEntry: []*datav3.HTTPAccessLogEntry{
			l.logged(route("web", wire.RouteClosed), func(e *datav3.HTTPAccessLogEntry) {
				e.CommonProperties.StartTime, e.CommonProperties.Duration = start, durationpb.New(took)
				e.CommonProperties.UpstreamRemoteAddress = remote("10.0.0.1:80")
				e.Response.ResponseCode.Value = 500
			}),
		}},
	}})
	if len(l.endpoints) != 1 {
		l.t.Fatalf("%d outcomes, want 1", len(l.endpoints))
	}
	return l.endpoints[0].At
}

// wantNear fails the test if the feed is wrong by more than most.
func (l *logger) wantNear(what string, wrong, most time.Duration) {
	l.t.Helper()
	if wrong.Abs() > most {
		l.t.Fatalf("%s: %s wrong, want %s at most", what, wrong, most)
	}
}

// TestClockIsSet: in whichever direction and however far the clock of a proxy is set, its next request is taken to have ended when its
// entry arrived, or shortly before.
func TestClockIsSet(t *testing.T) {
	for _, step := range []time.Duration{
		50 * time.Millisecond, 300 * time.Millisecond, 2 * time.Second, time.Minute, time.Hour, 10 * 365 * 24 * time.Hour,
	} {
		for _, step := range []time.Duration{step, -step} {
			t.Run(step.String(), func(t *testing.T) {
				l := newLogger(t)
				off := time.Duration(0)
				for i := range 300 {
					if i == 100 || i == 200 {
						off += step
					}
					l.now = l.now.Add(20 * time.Millisecond)
					ago := time.Duration(i%5) * 10 * time.Millisecond
					l.wantNear("a request", l.call("", ago, off), clock.Jitter+50*time.Millisecond)
					// Another worker of the proxy, which has another stream.
					l.wantNear("a request of another worker", l.call("other", ago/2, off), clock.Jitter+50*time.Millisecond)
				}
			})
		}
	}
}

// TestClockIsSetBackInTheQuiet: an entry that arrives after a pause may have been held back, or the clock may have been set back. It was
// set back if all entries that follow are late as well.
func TestClockIsSetBackInTheQuiet(t *testing.T) {
	for _, step := range []time.Duration{time.Second, 10 * time.Second, clock.MaxDelay, clock.MaxDelay + time.Second, time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			l := newLogger(t)
			l.wantNear("the first", l.call("", 0, 0), 0)
			l.now = l.now.Add(30 * time.Second)
			for began := l.now; l.now < began.Add(10*time.Second); l.now = l.now.Add(100 * time.Millisecond) {
				wrong := l.call("", 0, -step)
				if l.now.Sub(began) > clock.MaxLateness || step > clock.MaxDelay {
					l.wantNear(l.now.Sub(began).String()+" later", wrong, clock.Jitter)
				}
			}
		})
	}
}

// TestOneBadTime among good ones does not affect them, whatever it is and on whatever stream it comes.
func TestOneBadTime(t *testing.T) {
	bad := map[string]*timestamppb.Timestamp{
		"an hour ahead": timestamppb.New(wall(breaker.Instant(11 * time.Hour))), "an hour ago": timestamppb.New(wall(breaker.Instant(9 * time.Hour))),
		"the end of time": {Seconds: math.MaxInt64, Nanos: math.MaxInt32}, "the beginning": {Seconds: math.MinInt64, Nanos: math.MinInt32},
		"zero": {}, "none": nil, "a second ahead": timestamppb.New(wall(breaker.Instant(10*time.Hour + time.Second))),
	}
	for name, start := range bad {
		for _, stream := range []string{"", "another"} {
			for _, took := range []time.Duration{0, math.MaxInt64, math.MinInt64} {
				t.Run(name+" on stream "+stream+" took "+took.String(), func(t *testing.T) {
					l := newLogger(t)
					for i := range 100 {
						l.now = l.now.Add(10 * time.Millisecond)
						if i == 30 {
							if at := l.raw(stream, start, took); at > l.now {
								t.Errorf("the bad one is %s in the future", at.Sub(l.now))
							}
						}
						l.wantNear("a good one", l.call("", time.Duration(i%3)*time.Millisecond, 0), clock.Jitter+3*time.Millisecond)
					}
				})
			}
		}
	}
}

// TestClockOfAnotherCentury: requests keep their distances in time even when the proxy's clock shows the year 2100, or has never
// been set.
func TestClockOfAnotherCentury(t *testing.T) {
	for _, year := range []int{1901, 1970, 2043, 2044, 2100} {
		l := newLogger(t)
		off := time.Date(year, 7, 1, 0, 0, 0, 0, time.UTC).Sub(wall(l.now))
		for i := range 20 {
			l.now = l.now.Add(20 * time.Millisecond)
			ago := time.Duration((19-i)%5) * time.Millisecond
			l.wantNear(fmt.Sprint("a request in ", year), l.call("", ago, off), 4*time.Millisecond)
		}
		l.now = l.now.Add(8 * time.Second)
		l.wantNear(fmt.Sprint("one that was held back in ", year), l.call("", 7*time.Second, off), 4*time.Millisecond)
	}
}

// TestLongRequestsOverAStep: requests that began before the clock was set end by the old time, while others end by the new
// one.
func TestLongRequestsOverAStep(t *testing.T) {
	for _, step := range []time.Duration{-time.Hour, time.Hour} {
		l := newLogger(t)
		l.wantNear("before", l.call("", 0, 0), 0)
		for i := range 50 {
			l.now = l.now.Add(50 * time.Millisecond)
			off := step
			if i%3 == 0 {
				off = 0
			}
			l.wantNear("a request", l.entry("", l.now, off, time.Duration(i)*50*time.Millisecond), clock.Jitter)
		}
	}
}

// TestTwoClocksOfOneID: two processes with one id on two hosts do not affect one another.
func TestTwoClocksOfOneID(t *testing.T) {
	l := newLogger(t)
	for range 100 {
		l.now = l.now.Add(10 * time.Millisecond)
		l.wantNear("one", l.call("one", 0, 0), 0)
		l.wantNear("the other", l.call("two", 5*time.Millisecond, -time.Hour), 5*time.Millisecond)
	}
}

// TestClockThatDrifts: a clock drifts for a day, by as much as clocks do.
func TestClockThatDrifts(t *testing.T) {
	for _, perMillion := range []time.Duration{-200, 200} {
		l := newLogger(t)
		began := l.now
		for l.now < began.Add(24*time.Hour) {
			l.now = l.now.Add(7 * time.Second)
			l.wantNear("a request", l.call("", 0, l.now.Sub(began)/1_000_000*perMillion), 50*time.Millisecond)
		}
	}
}

// TestProxyThatStood: a proxy may stand still for a while, as a virtual machine does, or its log may be held back. The entries
// that it then sends keep their place in time, and so do later ones.
func TestProxyThatStood(t *testing.T) {
	l := newLogger(t)
	for range 20 {
		l.now = l.now.Add(10 * time.Millisecond)
		l.wantNear("before", l.call("", 0, 0), 0)
	}
	l.now = l.now.Add(8 * time.Second)
	for i := range 20 {
		l.wantNear("held back", l.call("", 8*time.Second-time.Duration(i)*time.Millisecond, 0), time.Millisecond)
	}
	for range 20 {
		l.now = l.now.Add(10 * time.Millisecond)
		l.wantNear("after", l.call("", 0, 0), 0)
	}
}
