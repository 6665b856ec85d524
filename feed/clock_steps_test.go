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
	"breakwater.dev/wire"
)

// teller tells a feed of calls, as proxies do whose clocks are set.
type teller struct {
	*rig
	streams map[string]*worker
}

func newTeller(t *testing.T) *teller {
	r := newRig(t)
	return &teller{rig: r, streams: map[string]*worker{"": r.worker}}
}

// call tells on a stream of a call that ended a while ago, when the proxy's clock was off by so much. It
// returns when the feed has it that the call ended, from when it did.
func (l *teller) call(stream string, ago, off time.Duration) time.Duration {
	l.t.Helper()
	return l.entry(stream, l.now.Add(-ago), off, time.Millisecond)
}

// entry is call for a call that ended at an instant and took a while.
func (l *teller) entry(stream string, ended breaker.Instant, off, took time.Duration) time.Duration {
	l.t.Helper()
	return l.raw(stream, timestamppb.New(wall(ended).Add(off-took)), took).Sub(ended)
}

// raw tells of a call that began at any time, and returns when the feed has it that it ended.
func (l *teller) raw(stream string, start *timestamppb.Timestamp, took time.Duration) breaker.Instant {
	l.t.Helper()
	if l.streams[stream] == nil {
		l.streams[stream] = newWorker(l.server, l.node, "")
	}
	l.worker, l.told = l.streams[stream], nil
	l.message(&alsv3.StreamAccessLogsMessage{LogEntries: &alsv3.StreamAccessLogsMessage_HttpLogs{
		HttpLogs: &alsv3.StreamAccessLogsMessage_HTTPAccessLogEntries{LogEntry: []*datav3.HTTPAccessLogEntry{
			l.logged(route("web", wire.RouteClosed), func(e *datav3.HTTPAccessLogEntry) {
				e.CommonProperties.StartTime, e.CommonProperties.Duration = start, durationpb.New(took)
				e.CommonProperties.UpstreamRemoteAddress = remote("10.0.0.1:80")
				e.Response.ResponseCode.Value = 500
			}),
		}},
	}})
	if len(l.told) != 1 {
		l.t.Fatalf("%d outcomes, want 1", len(l.told))
	}
	return l.told[0].At
}

// wantNear fails the test if the feed is wrong about a call by more than so much.
func (l *teller) wantNear(what string, wrong, most time.Duration) {
	l.t.Helper()
	if wrong.Abs() > most {
		l.t.Fatalf("%s: %s wrong, want %s at most", what, wrong, most)
	}
}

// TestClockIsSet: whichever way and how far the clock of a proxy is set, its next call ended when it
// arrived, or a little before.
func TestClockIsSet(t *testing.T) {
	for _, step := range []time.Duration{
		50 * time.Millisecond, 300 * time.Millisecond, 2 * time.Second, time.Minute, time.Hour, 10 * 365 * 24 * time.Hour,
	} {
		for _, step := range []time.Duration{step, -step} {
			t.Run(step.String(), func(t *testing.T) {
				l := newTeller(t)
				off := time.Duration(0)
				for i := range 300 {
					if i == 100 || i == 200 {
						off += step
					}
					l.now = l.now.Add(20 * time.Millisecond)
					ago := time.Duration(i%5) * 10 * time.Millisecond
					l.wantNear("a call", l.call("", ago, off), jitter+50*time.Millisecond)
					// Another worker of the proxy, which has another stream.
					l.wantNear("a call of another worker", l.call("other", ago/2, off), jitter+50*time.Millisecond)
				}
			})
		}
	}
}

// TestClockIsSetBackInTheQuiet: what arrives then may have been held back, or not. It has if calls follow that
// were not.
func TestClockIsSetBackInTheQuiet(t *testing.T) {
	for _, step := range []time.Duration{time.Second, 10 * time.Second, mostHeldBack, mostHeldBack + time.Second, time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			l := newTeller(t)
			l.wantNear("the first", l.call("", 0, 0), 0)
			l.now = l.now.Add(30 * time.Second)
			for began := l.now; l.now < began.Add(10*time.Second); l.now = l.now.Add(100 * time.Millisecond) {
				wrong := l.call("", 0, -step)
				if l.now.Sub(began) > lateFor || step > mostHeldBack {
					l.wantNear(l.now.Sub(began).String()+" later", wrong, jitter)
				}
			}
		})
	}
}

// TestOneBadTime between good ones spoils none of them, wherever it is and whatever stream it came on.
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
					l := newTeller(t)
					for i := range 100 {
						l.now = l.now.Add(10 * time.Millisecond)
						if i == 30 {
							if at := l.raw(stream, start, took); at > l.now {
								t.Errorf("the bad one is %s from now", at.Sub(l.now))
							}
						}
						l.wantNear("a good one", l.call("", time.Duration(i%3)*time.Millisecond, 0), jitter+3*time.Millisecond)
					}
				})
			}
		}
	}
}

// TestClockOfAnotherCentury: calls keep their distances also when the wall clocks show the year 2100, and when the proxy's has never been set.
func TestClockOfAnotherCentury(t *testing.T) {
	for _, year := range []int{1901, 1970, 2043, 2044, 2100} {
		l := newTeller(t)
		off := time.Date(year, 7, 1, 0, 0, 0, 0, time.UTC).Sub(wall(l.now))
		for i := range 20 {
			l.now = l.now.Add(20 * time.Millisecond)
			ago := time.Duration((19-i)%5) * time.Millisecond
			l.wantNear(fmt.Sprint("a call in ", year), l.call("", ago, off), 4*time.Millisecond)
		}
		l.now = l.now.Add(8 * time.Second)
		l.wantNear(fmt.Sprint("one that was held back in ", year), l.call("", 7*time.Second, off), 4*time.Millisecond)
	}
}

// TestLongCallsOverAStep: their end is by the clock of before, while others go by the new one.
func TestLongCallsOverAStep(t *testing.T) {
	for _, step := range []time.Duration{-time.Hour, time.Hour} {
		l := newTeller(t)
		l.wantNear("before", l.call("", 0, 0), 0)
		for i := range 50 {
			l.now = l.now.Add(50 * time.Millisecond)
			off := step
			if i%3 == 0 {
				off = 0
			}
			l.wantNear("a call", l.entry("", l.now, off, time.Duration(i)*50*time.Millisecond), jitter)
		}
	}
}

// TestTwoClocksOfOneID: processes of one id on two hosts do not disturb one another.
func TestTwoClocksOfOneID(t *testing.T) {
	l := newTeller(t)
	for range 100 {
		l.now = l.now.Add(10 * time.Millisecond)
		l.wantNear("one", l.call("one", 0, 0), 0)
		l.wantNear("the other", l.call("two", 5*time.Millisecond, -time.Hour), 5*time.Millisecond)
	}
}

// TestClockThatDrifts by as much as clocks do, for a day.
func TestClockThatDrifts(t *testing.T) {
	for _, perMillion := range []time.Duration{-200, 200} {
		l := newTeller(t)
		began := l.now
		for l.now < began.Add(24*time.Hour) {
			l.now = l.now.Add(7 * time.Second)
			l.wantNear("a call", l.call("", 0, l.now.Sub(began)/1_000_000*perMillion), 50*time.Millisecond)
		}
	}
}

// TestProxyThatStood still for a while, as a virtual machine does, or whose log was held back: what it had
// to tell keeps its place, and so does what follows.
func TestProxyThatStood(t *testing.T) {
	l := newTeller(t)
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
