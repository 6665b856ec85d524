package telemetry

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"breakwater.dev/telemetry/internal/ejections"
)

// outliers are the upstreams whose endpoints are judged for all proxies, in order of name.
func (t *Telemetry) outliers() []ejections.Status {
	var all []ejections.Status
	for _, o := range t.options.Outliers() {
		all = append(all, ejections.Status(o))
	}
	slices.SortFunc(all, func(a, b ejections.Status) int { return strings.Compare(a.Upstream, b.Upstream) })
	return all
}

// ejectedJSON is one upstream that has endpoints out of rotation.
type ejectedJSON struct {
	Service   string           `json:"service"`
	Endpoints int              `json:"endpoints"` // all, the ejected ones included
	Ejected   []netip.AddrPort `json:"ejected"`
}

// ejected lists what is out of rotation for all proxies. It is about endpoints, and
// says nothing of the state of a breaker, which an upstream need not even have.
func (t *Telemetry) ejected() []ejectedJSON {
	list := []ejectedJSON{}
	for _, o := range t.outliers() {
		if len(o.Ejected) == 0 {
			continue
		}
		endpoints := slices.Clone(o.Ejected)
		slices.SortFunc(endpoints, netip.AddrPort.Compare)
		list = append(list, ejectedJSON{o.Upstream, o.Endpoints, endpoints})
	}
	return list
}

// Ejection is what became of one endpoint that is judged for all proxies together.
type Ejection struct {
	Upstream string
	Endpoint netip.AddrPort
	// Rule is the one that found it, as in [OutlierStatus]; "" is left out.
	Rule string
	// Ejected tells that a rule found it; else it came back, and Enforced and Until
	// mean nothing.
	Ejected bool
	// Enforced tells that it was taken out of rotation; else it stayed in.
	Enforced  bool
	At, Until time.Time // when it happened, and when it may come back
	// Times is how many ejections its time out of rotation grows with, this one included.
	Times uint32
	// Figures are what the rule judged by, such as the calls and failures of an
	// interval; each rule has its own.
	Figures []slog.Attr
}

// LogEjection writes one line: as a warning "endpoint ejected", as information
// "endpoint came back", or for debugging "endpoint would be ejected", which a rule that
// is not enforced finds again and again. Its keys are
//
//	service, endpoint  whose, and its address and port
//	rule               which one found it
//	at                 when it happened, which is a little before the line was written
//	until, lasts       of an endpoint that was ejected: when it may come back, and how
//	                   long after at that is, such as "30s"
//	times              how many ejections that time has grown with
//	figures.*          what the rule judged by; left out where there are none
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
	attrs = append(attrs, slog.Time("at", timestamp(e.At)))
	if out {
		attrs = append(attrs, slog.Time("until", timestamp(e.Until)), slog.String("lasts", duration(e.Until.Sub(e.At))))
	}
	attrs = append(attrs, slog.Uint64("times", uint64(e.Times)), slog.GroupAttrs("figures", e.Figures...))
	log.LogAttrs(context.Background(), level, message, attrs...)
}
