package logs

import (
	"context"
	"log/slog"
	"time"

	"breakwater.dev/api"
	"breakwater.dev/outlier"
)

// LogEjection writes one line: the warning "endpoint ejected", the information "endpoint came back", or for debugging
// "endpoint would be ejected", since a rule that is not enforced finds the same endpoint again and again. wall returns the
// wall time of an instant. The keys are
//
//	service, endpoint  the upstream, and the address and port
//	at                 when it happened, which is a little before the line was written
//	rule               unless it came back: which rule found the endpoint
//	until, lasts       of an endpoint that was ejected: when it may come back, and how
//	                   long after at that is, such as "30s"
//	times              of an endpoint that was ejected: how many ejections that time has
//	                   grown with, this one included
//	figures.*          unless it came back: the figures by which the rule judged, which are
//	                   run, the errors in a row, or calls and failures of an interval
func LogEjection(log *slog.Logger, e outlier.Event, wall func(outlier.Instant) time.Time) {
	level, message := slog.LevelWarn, "endpoint ejected"
	switch e.Kind {
	case outlier.Detected:
		level, message = slog.LevelDebug, "endpoint would be ejected"
	case outlier.Returned:
		level, message = slog.LevelInfo, "endpoint came back"
	}
	at := wall(e.At)
	attrs := make([]slog.Attr, 0, 8)
	attrs = append(attrs, slog.String("service", e.Upstream), slog.String("endpoint", e.Endpoint.String()))
	if e.Kind != outlier.Returned {
		attrs = append(attrs, slog.String("rule", e.Rule.String()))
	}
	attrs = append(attrs, slog.Time("at", api.Timestamp(at)))
	if e.Kind == outlier.Ejected {
		attrs = append(attrs, slog.Time("until", api.Timestamp(at.Add(e.For))), slog.String("lasts", api.Measured(e.For).String()), slog.Uint64("times", uint64(e.Times)))
	}
	switch {
	case e.Kind == outlier.Returned:
	case e.Run > 0:
		attrs = append(attrs, slog.Group("figures", slog.Uint64("run", uint64(e.Run))))
	default:
		attrs = append(attrs, slog.Group("figures", slog.Uint64("calls", e.Calls), slog.Uint64("failures", e.Failures)))
	}
	log.LogAttrs(context.Background(), level, message, attrs...)
}
