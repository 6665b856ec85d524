package logs

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"breakwater.dev/api"
)

// Ejection is an event of one endpoint that is judged for all proxies together.
type Ejection struct {
	Upstream string
	Endpoint netip.AddrPort
	// Rule is the name of the rule that found the endpoint, such as "consecutive_5xx_errors"; "": it is left out.
	Rule string
	// Ejected reports whether a rule found the endpoint. Else the endpoint came back, and Enforced and Until mean nothing.
	Ejected bool
	// Enforced reports whether the endpoint was taken out of rotation. Else it stayed in.
	Enforced  bool
	At, Until time.Time // when it happened, and when the endpoint may come back
	// Times is how many ejections the time out of rotation grows with, this one included.
	Times uint32
	// Figures are those by which the rule judged, such as the calls and failures of an interval; each rule has its own.
	Figures []slog.Attr
}

// LogEjection writes one line: the warning "endpoint ejected", the information "endpoint came back", or for debugging
// "endpoint would be ejected", since a rule that is not enforced finds the same endpoint again and again. The keys are
//
//	service, endpoint  the upstream, and the address and port
//	rule               which rule found the endpoint
//	at                 when it happened, which is a little before the line was written
//	until, lasts       of an endpoint that was ejected: when it may come back, and how
//	                   long after at that is, such as "30s"
//	times              how many ejections that time has grown with
//	figures.*          the figures by which the rule judged; left out where there are none
func LogEjection(log *slog.Logger, e Ejection) {
	level, message := slog.LevelInfo, "endpoint came back"
	out := e.Ejected && e.Enforced
	switch {
	case out:
		level, message = slog.LevelWarn, "endpoint ejected"
	case e.Ejected:
		level, message = slog.LevelDebug, "endpoint would be ejected"
	}
	attrs := make([]slog.Attr, 0, 8)
	attrs = append(attrs, slog.String("service", e.Upstream), slog.String("endpoint", e.Endpoint.String()))
	if e.Rule != "" {
		attrs = append(attrs, slog.String("rule", e.Rule))
	}
	attrs = append(attrs, slog.Time("at", api.Timestamp(e.At)))
	if out {
		attrs = append(attrs, slog.Time("until", api.Timestamp(e.Until)), slog.String("lasts", api.Measured(e.Until.Sub(e.At)).String()))
	}
	attrs = append(attrs, slog.Uint64("times", uint64(e.Times)), slog.GroupAttrs("figures", e.Figures...))
	log.LogAttrs(context.Background(), level, message, attrs...)
}
