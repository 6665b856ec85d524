package feed

import (
	"sync/atomic"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/feed/internal/clock"
	"breakwater.dev/internal/alslog"
	"breakwater.dev/wire"
)

// running is the slow calls of one proxy that were reported while they were running, and have not ended as far as the proxy has
// logged. They outlive the stream that told of them: a proxy that connects again logs their ends on another one.
type running struct {
	calls   map[callID]early // nil if there are none
	all     *atomic.Int64    // how many there are of all proxies
	sweptAt breaker.Instant
}

// callID identifies a call of one proxy. No two requests of one connection begin at the same microsecond.
type callID struct {
	connection uint64
	start      time.Duration // by the proxy's clock
}

// early is a call that was reported early: when it began, and until when it is remembered.
type early struct{ began, until breaker.Instant }

const (
	// maxRunning and maxAllRunning bound how many calls are remembered of one proxy, and of all. A call for which there is
	// no room is not reported while it is running, and counts when it ends.
	maxRunning    = 16_384
	maxAllRunning = 1 << 19
	// sweepInterval is how often calls are forgotten whose ends were lost.
	sweepInterval = 10 * time.Second
	// maxLasting is how long a call without a timeout is remembered.
	maxLasting = time.Hour
)

// add remembers a call. It reports whether the call is new and there is room for it.
func (r *running) add(id callID, e early, now breaker.Instant) bool {
	if now.Sub(r.sweptAt) >= sweepInterval {
		r.sweptAt = now
		r.forget(func(e early) bool { return e.until <= now })
	}
	if _, known := r.calls[id]; known || len(r.calls) >= maxRunning {
		return false
	}
	if r.all.Add(1) > maxAllRunning {
		r.all.Add(-1)
		return false
	}
	if r.calls == nil {
		r.calls = map[callID]early{}
	}
	r.calls[id] = e
	return true
}

// end forgets a call that has ended, and returns when it began. known is false if it was not reported while it was running.
func (r *running) end(id callID) (began breaker.Instant, known bool) {
	e, known := r.calls[id]
	if known {
		delete(r.calls, id)
		r.all.Add(-1)
		r.release()
	}
	return e.began, known
}

// forget forgets the calls that match.
func (r *running) forget(matches func(early) bool) {
	for id, e := range r.calls {
		if matches(e) {
			delete(r.calls, id)
			r.all.Add(-1)
		}
	}
	r.release()
}

// release frees the memory of a map that is empty, which is as large as it ever was.
func (r *running) release() {
	if len(r.calls) == 0 {
		r.calls = nil
	}
}

// readTag sets which call the entry is of, and how long it has lasted, as far as its tag says that. The entry of a call that has
// ended needs it only while some of the proxy's calls were reported early.
func (w *worker) readTag() error {
	e := &w.entry
	if e.Type != alslog.DownstreamPeriodic && w.node.running.calls == nil {
		return nil
	}
	tag, err := e.Tag(wire.RunningTag)
	if err != nil {
		return err
	}
	e.call.start = e.Start
	e.call.connection, e.lasted, e.identified = wire.Running(tag)
	return nil
}

// unfinished handles the entry of a request that has not ended, and has no response yet.
func (w *worker) unfinished(to *target, kind wire.RouteKind, arrived breaker.Instant) {
	if passed := kind == wire.RouteSampled || kind == wire.RouteClosed; !passed || !w.entry.identified {
		w.uploading(to, kind)
		return
	}
	w.entry.Duration = w.entry.lasted
	at, ok := w.ended(to, arrived)
	if !ok {
		return
	}
	w.slow(to, at, arrived)
}

// slow reports a call that is running if it has become slow and was not reported yet.
func (w *worker) slow(to *target, at, arrived breaker.Instant) {
	e, counts := &w.entry, &w.server.counts
	e.ResponseBegin = -1 // what came so far was an attempt that is made again
	x := e.ending(&to.rules)
	lasts := maxLasting
	if to.rules.Timeout > 0 {
		lasts = to.rules.Timeout + time.Minute
	}
	began := at.Add(-e.lasted)
	if to.slow == 0 || x.Took < to.slow || e.Status != 0 || !w.node.running.add(e.call, early{began, began.Add(lasts + clock.MaxDelay)}, arrived) {
		counts.skipped.Add(1)
		return
	}
	counts.running.Add(1)
	g := w.batch.group(to)
	g.outcomes = append(g.outcomes, breaker.Reported{Running: true, At: at, Lasted: e.lasted, Duration: x.Took})
}

// uploading handles the entry of a request that has not ended, and that asked for a permit. If it is a probe whose request the client is
// still sending, it gives its permit back, so that a slow client does not keep others from probing. The engine knows how long
// any other has lasted.
func (w *worker) uploading(to *target, kind wire.RouteKind) {
	e := &w.entry
	w.server.counts.skipped.Add(1)
	ours := to != nil && w.peer.May(to.key.Upstream) && askedForPermit(kind) && e.probe != 0 && e.process == w.server.options.Process
	if !ours || e.RequestEnd >= 0 || wire.IsUpgrade(e.Upgrade) || e.identified && e.lasted < wire.UploadTime {
		return
	}
	g := w.batch.group(to)
	g.outcomes = append(g.outcomes, breaker.Reported{Uploading: e.probe})
}
