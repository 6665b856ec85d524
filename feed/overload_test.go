package feed

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"breakwater.dev/breaker"
	"breakwater.dev/feed/internal/backlog"
	"breakwater.dev/outlier"
	"breakwater.dev/wire"
)

// watching is a decider that notes how long it took to report the failures of a quiet breaker. Their durations, in
// microseconds, number them from 1 on.
type watching struct {
	breaker.Decider
	quiet breaker.Key

	mu      sync.Mutex
	sent    []time.Time
	numbers []int // which failures were reported
	delay   []time.Duration
}

func (d *watching) Report(s breaker.Subject, outcomes []breaker.Reported, now breaker.Instant) {
	if s.Key == d.quiet {
		d.mu.Lock()
		for _, o := range outcomes {
			n := int((o.Lasted - number).Microseconds())
			d.numbers, d.delay = append(d.numbers, n), append(d.delay, time.Since(d.sent[n-1]))
		}
		d.mu.Unlock()
	}
	d.Decider.Report(s, outcomes, now)
}

// failure returns a message with a failure of the quiet breaker, which arrives now, and with other entries.
func (d *watching) failure(r *rig, others []*datav3.HTTPAccessLogEntry) mem.Buffer {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sent = append(d.sent, time.Now())
	e := r.logged(route("grpc", wire.RouteClosed), answered(503))
	e.CommonProperties.Duration = durationpb.New(number + time.Duration(len(d.sent))*time.Microsecond)
	return encoded(append(slices.Clone(others), e))
}

// number is added to the numbers, so that the response of a call does not begin after its end.
const number = time.Second

// encoded returns a message with entries.
func encoded(entries []*datav3.HTTPAccessLogEntry) mem.Buffer {
	data, err := proto.Marshal(identified("one", wire.RequestLog, entries...))
	if err != nil {
		panic(err)
	}
	return mem.SliceBuffer(data)
}

// flood pushes messages into the queue of a stream of its own, a burst every millisecond, and every 20 ms a message with a failure of
// the quiet breaker too. Without other entries it pushes only the failures. It returns how many entries it pushed.
func (d *watching) flood(ctx context.Context, r *rig, burst int, others []*datav3.HTTPAccessLogEntry, quiet bool) (pushed int) {
	q := newQueue(&r.server.backlog)
	var working sync.WaitGroup
	working.Go(func() { q.work(newWorker(r.server, r.node, "")) })
	defer working.Wait()
	defer q.Close()
	push := func(data mem.Buffer) {
		q.Push(backlog.Message{Data: data, Arrived: r.server.options.Now()}, r.server.drop)
	}
	whole := encoded(others)
	tick, each := time.NewTicker(time.Millisecond), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	defer each.Stop()
	for {
		select {
		case <-ctx.Done():
			return pushed
		case <-tick.C:
			for range burst {
				push(whole)
				pushed += len(others)
			}
		case <-each.C:
			if quiet {
				push(d.failure(r, others))
				pushed += len(others) + 1
			}
		}
	}
}

// overloaded is a rig in real time, whose feed gets more entries of the breaker "web/charge" than it can count, by 16
// streams. The failures of a quiet breaker come in the same streams, or in a stream of their own.
func overloaded(t testing.TB, d time.Duration, own bool) (w *watching, r *rig, pushed int) {
	r = newRig(t)
	began := time.Now()
	w = &watching{Decider: r.engine.Decider(), quiet: breaker.Key{Upstream: "grpc"}}
	r.server.options.Now = func() breaker.Instant { return breaker.Instant(time.Hour).Add(time.Since(began)) }
	r.server.options.Decider = w
	r.server.options.Observe = func(breaker.Key, time.Duration, time.Duration, uint64) {}
	r.server.options.Endpoints = func(string, []outlier.Outcome) {}
	ctx, stop := context.WithTimeout(t.Context(), d)
	defer stop()
	var running sync.WaitGroup
	var all atomic.Int64
	others := slices.Repeat([]*datav3.HTTPAccessLogEntry{complete(r.logged(route("web/charge", wire.RouteClosed), answered(503)))}, 40)
	for range 16 {
		running.Go(func() { all.Add(int64(w.flood(ctx, r, 8, others, !own))) })
	}
	if own {
		running.Go(func() { all.Add(int64(w.flood(ctx, r, 0, nil, true))) })
	}
	running.Wait()
	slices.Sort(w.delay)
	return w, r, int(all.Load())
}

// at returns a quantile of the delays.
func (d *watching) at(q float64) time.Duration { return d.delay[int(q*float64(len(d.delay)-1))] }

// TestFloodDelaysNoOtherBreaker: the freshest of many messages are counted. Every entry of a quiet breaker in them counts, but only some
// of the entries in each message about a breaker with a flood.
func TestFloodDelaysNoOtherBreaker(t *testing.T) {
	r := newRig(t)
	d := &watching{Decider: r.engine.Decider(), quiet: breaker.Key{Upstream: "grpc"}}
	r.server.options.Decider = d
	q := newQueue(&r.server.backlog)
	others := slices.Repeat([]*datav3.HTTPAccessLogEntry{complete(r.logged(route("web/charge", wire.RouteClosed), answered(503)))}, 40)
	const messages = 2 * backlog.Length
	for range messages {
		q.Push(backlog.Message{Data: d.failure(r, others), Arrived: r.now}, r.server.drop)
	}
	waiting, size := len(q.Waiting()), int(r.server.backlog.Bytes())/len(q.Waiting())
	q.Close()
	q.work(r.worker)
	if len(d.delay) != waiting || waiting < backlog.Length/2 {
		t.Errorf("%d failures of the quiet breaker are counted, want those of %d messages", len(d.delay), waiting)
	}
	for _, o := range d.numbers {
		if o <= messages-waiting {
			t.Errorf("failure %d is counted, want only the last %d", o, waiting)
		}
	}
	c := r.server.Counts()
	if c.Reported+c.Dropped != 41*messages {
		t.Errorf("%d entries are reported and %d dropped, want %d together", c.Reported, c.Dropped, 41*messages)
	}
	whole := backlog.MaxStream / backlog.CrowdedAt / size // messages that are read as a whole, since few wait behind them
	if got, want := int(r.counts("web").Failures), 40*whole+hurriedEntries*(waiting-whole); got < want-80 || got > want+80 {
		t.Errorf("%d failures of the flood are counted, want some %d", got, want)
	}
}

// TestHurry: some entries of each breaker are read in a hurry. Entries that belong to no breaker are skipped as always, and connections
// are never left out.
func TestHurry(t *testing.T) {
	r := newRig(t)
	r.worker.hurry = true
	entries := slices.Repeat([]*datav3.HTTPAccessLogEntry{r.logged(route("web", wire.RouteSampled), nil)}, 10)
	entries = append(entries, r.logged(route("unknown", wire.RouteSampled), nil), r.logged(route("grpc", wire.RouteSampled), nil))
	r.take(append(entries, entries...)...)
	r.want("web", breaker.Counts{Requests: hurriedEntries, Successes: hurriedEntries})
	r.want("grpc", breaker.Counts{Requests: 2, Successes: 2})
	if c := r.server.Counts(); c.Dropped != 20-hurriedEntries || c.Skipped != 2 {
		t.Errorf("counts %+v, want %d dropped and 2 skipped", c, 20-hurriedEntries)
	}
	r.take(entries...)
	r.want("web", breaker.Counts{Requests: 2 * hurriedEntries, Successes: 2 * hurriedEntries})

	r.worker.upstream = "db"
	connections := slices.Repeat([]*datav3.TCPAccessLogEntry{r.connection(datav3.AccessLogType_TcpConnectionStart, nil)}, 10)
	r.message(&alsv3.StreamAccessLogsMessage{LogEntries: &alsv3.StreamAccessLogsMessage_TcpLogs{
		TcpLogs: &alsv3.StreamAccessLogsMessage_TCPAccessLogEntries{LogEntry: connections},
	}})
	if got := r.server.Links("db", "one").Connecting; got != 10 {
		t.Errorf("%d connections are being made, want 10", got)
	}
}

// BenchmarkOverload measures how long failures of a quiet breaker take from their arrival to the breaker beside a flood of entries,
// and how many get lost. Each round takes a second.
func BenchmarkOverload(b *testing.B) {
	for name, own := range map[string]bool{"same streams": false, "own stream": true} {
		b.Run(name, func(b *testing.B) {
			d, r, pushed := overloaded(b, time.Duration(b.N)*time.Second, own)
			b.ReportMetric(1000*d.at(0.5).Seconds(), "ms-p50")
			b.ReportMetric(1000*d.at(0.99).Seconds(), "ms-p99")
			b.ReportMetric(100-100*float64(len(d.delay))/float64(len(d.sent)), "%lost")
			b.ReportMetric(float64(pushed)/b.Elapsed().Seconds()/1000, "thousands/s")
			b.ReportMetric(100*float64(r.server.Counts().Dropped)/float64(pushed), "%dropped")
		})
	}
}
