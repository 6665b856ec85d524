package feed

import (
	"breakwater.dev/breaker"
	"breakwater.dev/feed/internal/entry"
	"breakwater.dev/feed/internal/sampling"
	"breakwater.dev/internal/alslog"
	"breakwater.dev/outlier"
	"breakwater.dev/wire"
)

// request counts the entry of a request, which took a route of a kind.
func (w *worker) request(to *target, kind wire.RouteKind, arrived breaker.Instant) {
	e, counts := &w.entry, &w.server.counts
	if e.Type == alslog.DownstreamPeriodic {
		w.unfinished(to, kind, arrived)
		return
	}
	at, ok := w.ended(to, arrived)
	if !ok {
		return
	}
	weights := w.node.timeline.Weights(at.Add(-max(e.Duration, 0)), to.key)
	sparse := false
	if w.server.options.Shared && len(w.node.timeline) == 0 {
		weights, sparse = sampling.Unknown, w.node.home.Misses((*w.server.elsewhere.Load())(to.key))
	}
	if kind == wire.RouteRejected { // the breaker rejected it, and has counted it
		counts.rejected.Add(1)
		w.answered(to, 1)
		return
	}
	if kind == wire.RouteCounted {
		counts.rejected.Add(1)
		w.answered(to, weights.Rejected)
		w.node.meter(to.key).AddRejected(weights.Rejected)
		w.batch.group(to).rejected += uint64(weights.Rejected)
		return
	}
	w.logConnectFailure(to, arrived)
	x := e.Ending(&to.rules)
	report := breaker.Reported{
		Outcome: x.Outcome(&to.rules), At: at, Duration: x.Took, Lasted: x.Lasted, Unsent: x.Unsent() && e.Attempts <= 1,
	}
	if askedForPermit(kind) {
		w.correct(to, &x, &report, arrived)
		return
	}
	began, known := w.node.running.End(e.Call)
	if known {
		report.Early, report.Lasted = true, max(at.Sub(began), 0)
	}
	always := known || to.alwaysLogged(report.Outcome, x.Took)
	if kind == wire.RouteClosed && (!always || sparse) {
		counts.skipped.Add(1)
		return
	}
	n := weigh(&report, kind, always, weights)
	counts.reported.Add(1)
	meter := w.node.meter(to.key)
	meter.AddPassed(n)
	g := w.batch.group(to)
	g.outcomes = append(g.outcomes, report)
	switch {
	case report.Outcome.Failed():
		g.sparsest = max(g.sparsest, report.OneIn)
	case !always && report.Outcome == breaker.Success:
		meter.Lasted(report.Lasted)
	}
	w.endpoint(to, &x, &report, n)
}

// weigh returns how many requests an entry represents, and notes among how many requests it was logged.
func weigh(report *breaker.Reported, kind wire.RouteKind, always bool, weights sampling.Weights) (n uint32) {
	n = 1
	report.OneIn = weights.Sparsest // the entry represents one request, but others before it may not have been logged
	if !always {
		if kind != wire.RouteExact {
			n = weights.Passed
		}
		report.OneIn = n
	}
	return n
}

// counts reports whether entries of routes of a kind count for the breaker. A proxy may still have routes of the other
// data path, from before the policy changed.
func (to *target) counts(kind wire.RouteKind) bool {
	switch kind {
	case wire.RouteRejected:
		return true
	case wire.RouteWhole:
		return !to.adaptive
	case wire.RouteCounted, wire.RouteProbe, wire.RouteExact, wire.RouteSampled, wire.RouteClosed:
		return to.adaptive
	default:
		return false
	}
}

// askedForPermit reports whether requests on routes of a kind asked the control plane for a permit. The control plane then knows
// the outcome of the request as it was at the headers of the response.
func askedForPermit(kind wire.RouteKind) bool {
	return kind == wire.RouteWhole || kind == wire.RouteProbe
}

// answered passes on what n rejected requests were answered with, where proxies keep copies of responses.
func (w *worker) answered(to *target, n uint32) {
	if to.cached {
		w.server.options.Answered(to.key, wire.DetailsOf(w.entry.Details) == wire.Copied, uint64(n))
	}
}

// endpoint adds the outcome of n requests at their endpoint, where outlier detection has the scope Mesh.
func (w *worker) endpoint(to *target, x *wire.Ending, r *breaker.Reported, n uint32) {
	if !to.mesh || !w.entry.Remote.IsValid() || r.Outcome == breaker.Ignored || r.Outcome == breaker.Abandoned {
		return
	}
	w.batch.endpoint(to.key.Upstream, outlier.Outcome{
		Endpoint: w.entry.Remote, Class: entry.ClassOf(x, r.Outcome), At: r.At, Calls: n, OneIn: r.OneIn,
	})
}
