package feed

import (
	"breakwater.dev/breaker"
	"breakwater.dev/feed/internal/entry"
	"breakwater.dev/outlier"
	"breakwater.dev/wire"
)

// connection counts the entry of a connection to an upstream that speaks TCP.
func (w *worker) connection(to *target, arrived breaker.Instant) {
	e, counts := &w.entry, &w.server.counts
	at, ok := w.ended(to, arrived)
	if !ok {
		return
	}
	w.logConnectFailure(to, arrived)
	result := e.Connection()
	open := w.node.linksTo(to.key.Upstream)
	open.Deadline = to.connectDeadline()
	open.Take(e, result, arrived)
	g := w.batch.group(to)
	switch result {
	case entry.Unchanged:
		counts.skipped.Add(1)
		return
	case entry.Rejected:
		counts.rejected.Add(1)
		w.node.meter(to.key).AddRejected(1)
		g.rejected++
		return
	}
	counts.reported.Add(1)
	w.node.meter(to.key).AddPassed(1)
	g.outcomes = append(g.outcomes, breaker.Reported{
		Outcome: result.Outcome(), At: at, Lasted: max(e.Duration, 0), Probe: true, Unsent: wire.Flags(e.Flags).Unsent(),
	})
	if to.mesh && e.Remote.IsValid() {
		w.batch.endpoint(to.key.Upstream, outlier.Outcome{
			Endpoint: e.Remote, Class: result.Class(), At: at, Calls: 1, OneIn: 1,
		})
	}
}
