package feed

import (
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/feed/internal/clock"
	"breakwater.dev/internal/alslog"
	"breakwater.dev/wire"
)

// maxLasting is how long a call without a timeout is remembered.
const maxLasting = time.Hour

// readTag reads from the entry's tag to which call it belongs, and how long the call has lasted. For a call that has ended that
// matters only while some of the proxy's calls were reported early.
func (w *worker) readTag() error {
	e := &w.entry
	if e.Type != alslog.DownstreamPeriodic && w.node.running.Len() == 0 {
		return nil
	}
	tag, err := e.Tag(wire.RunningTag)
	if err != nil {
		return err
	}
	e.Call.Start = e.Start
	e.Call.Connection, e.Lasted, e.Identified = wire.Running(tag)
	return nil
}

// unfinished handles the entry of a request that has not ended, and has no response yet.
func (w *worker) unfinished(to *target, kind wire.RouteKind, arrived breaker.Instant) {
	if passed := kind == wire.RouteSampled || kind == wire.RouteClosed; !passed || !w.entry.Identified {
		w.uploading(to, kind)
		return
	}
	w.entry.Duration = w.entry.Lasted
	at, ok := w.ended(to, arrived)
	if !ok {
		return
	}
	w.slow(to, at, arrived)
}

// slow reports a call that is running if it has become slow and was not reported yet.
func (w *worker) slow(to *target, at, arrived breaker.Instant) {
	e, counts := &w.entry, &w.server.counts
	e.ResponseBegin = -1 // the proxy did not pass on the response that came, and tries again
	x := e.Ending(&to.rules)
	lasts := maxLasting
	if to.rules.Timeout > 0 {
		lasts = to.rules.Timeout + time.Minute
	}
	began := at.Add(-e.Lasted)
	if to.slow == 0 || x.Took < to.slow || e.Status != 0 || !w.node.running.Add(e.Call, began, began.Add(lasts+clock.MaxDelay), arrived) {
		counts.skipped.Add(1)
		return
	}
	counts.running.Add(1)
	g := w.batch.group(to)
	g.outcomes = append(g.outcomes, breaker.Reported{Running: true, At: at, Lasted: e.Lasted, Duration: x.Took})
}

// uploading handles the entry of a request that has not ended, and that is not reported early. If it is a probe whose request
// the client is still sending, it gives its permit back, so that a slow client does not keep others from probing.
func (w *worker) uploading(to *target, kind wire.RouteKind) {
	e := &w.entry
	w.server.counts.skipped.Add(1)
	ours := to != nil && w.peer.May(to.key.Upstream) && askedForPermit(kind) && e.Probe != 0 && e.Process == w.server.options.Process
	if !ours || e.RequestEnd >= 0 || wire.IsUpgrade(e.Upgrade) || e.Identified && e.Lasted < wire.UploadTime {
		return
	}
	g := w.batch.group(to)
	g.outcomes = append(g.outcomes, breaker.Reported{Uploading: e.Probe})
}
