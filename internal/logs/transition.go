package logs

import (
	"context"
	"log/slog"
	"time"

	"breakwater.dev/api"
	"breakwater.dev/breaker"
)

// LogTransition writes one line, "breaker changed state": a warning where the breaker opens and rejects calls from
// then on, else information. wall is the time of an instant. The keys are
//
//	service, route, node  the breaker; route and node are left out where they are empty
//	from, to, reason      the change, in the words of the metrics
//	mode                  what decides about calls from then on, as [breaker.Status.EffectiveMode]
//	sequence, generation  as in [breaker.Transition]
//	at                    when it happened, which is a little before the line was written
//	lasted                how long the state before was in force, such as "30s"
//	window.calls, window.failures, window.slow, window.consecutive_failures
//	                      what the breaker had seen
//	window.failure_rate, window.slow_call_rate
//	                      the same as shares of the calls, such as "50%", rounded down
//	wait, openings        into open by a rule: how long it will last, such as "30s", and
//	                      which opening in a row it is
//	by, note, until       by hand: who, why, and when that ends
//	cause.reason, cause.at, cause.by, cause.window
//	                      what began the episode that the transition is part of, or ends. It is left out where the
//	                      transition begins one; by is there only where an operator did it, window only where not
func LogTransition(log *slog.Logger, t breaker.Transition, wall func(breaker.Instant) time.Time) {
	level := slog.LevelInfo
	if t.Edge.To == breaker.Open && t.Rejects() {
		level = slog.LevelWarn
	}
	attrs := make([]slog.Attr, 0, 18)
	attrs = append(attrs, slog.String("service", t.Key.Upstream))
	if t.Key.Route != "" {
		attrs = append(attrs, slog.String("route", t.Key.Route))
	}
	if t.Key.Node != "" {
		attrs = append(attrs, slog.String("node", t.Key.Node))
	}
	attrs = append(attrs,
		slog.String("from", t.Edge.From.String()),
		slog.String("to", t.Edge.To.String()),
		slog.String("reason", t.Edge.Reason.String()),
		slog.String("mode", t.EffectiveMode()),
		slog.Uint64("sequence", t.Sequence),
		slog.Uint64("generation", t.Generation),
		slog.Time("at", api.Timestamp(wall(t.At))),
		slog.String("lasted", api.Measured(t.At.Sub(t.Since)).String()),
		windowAttr(t.Window),
	)
	if t.Wait > 0 {
		attrs = append(attrs, slog.String("wait", api.Measured(t.Wait).String()))
	}
	if t.Openings > 0 {
		attrs = append(attrs, slog.Uint64("openings", uint64(t.Openings)))
	}
	if t.By != "" {
		attrs = append(attrs, slog.String("by", t.By), slog.String("note", t.Note))
	}
	if t.Until != 0 {
		attrs = append(attrs, slog.Time("until", api.Timestamp(wall(t.Until))))
	}
	if t.Cause != nil {
		attrs = append(attrs, causeAttr(t.Cause, wall))
	}
	log.LogAttrs(context.Background(), level, "breaker changed state", attrs...)
}

func causeAttr(t *breaker.Transition, wall func(breaker.Instant) time.Time) slog.Attr {
	why := windowAttr(t.Window)
	if t.By != "" {
		why = slog.String("by", t.By)
	}
	return slog.Group("cause", slog.String("reason", t.Edge.Reason.String()), slog.Time("at", api.Timestamp(wall(t.At))), why)
}

func windowAttr(w breaker.WindowCounts) slog.Attr {
	rate := func(part uint64) string {
		return breaker.Ratio(part * uint64(breaker.Whole) / max(w.Calls, 1)).String()
	}
	return slog.Group("window",
		slog.Uint64("calls", w.Calls),
		slog.Uint64("failures", w.Failures),
		slog.Uint64("slow", w.Slow),
		slog.Uint64("consecutive_failures", uint64(w.Run)),
		slog.String("failure_rate", rate(w.Failures)),
		slog.String("slow_call_rate", rate(w.Slow)),
	)
}
