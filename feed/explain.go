package feed

import (
	"sync/atomic"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/untrusted"
	"breakwater.dev/wire"
)

// explainEvery is how long nothing more is logged of connections that fail to a breaker's upstream.
const explainEvery = time.Minute

// explained says when the log was last told of a breaker why connections fail; 0: never. One line a minute for
// each breaker is all that proxies can have written, however many they are and whatever they send.
type explained struct{ at atomic.Int64 }

// due reports whether a line may be written now, and takes it that it is.
func (x *explained) due(now breaker.Instant) bool {
	last := x.at.Load()
	return (last == 0 || now >= breaker.Instant(last).Add(explainEvery)) && x.at.CompareAndSwap(last, int64(now))
}

// explain logs why a proxy could not connect to an upstream: above all the reason of a failed TLS handshake, which
// no caller's status and no metric tells.
func (w *worker) explain(to *target, arrived breaker.Instant) {
	e := &w.entry
	if len(e.reason) == 0 || e.flags&wire.ConnectFailure == 0 || !to.explained.due(arrived) {
		return
	}
	w.server.options.Log.Warn("a proxy could not connect to a service; this is said once a minute",
		"service", to.key.Upstream, "route", to.key.Route, "node", w.node.id, "endpoint", e.endpoint(), "reason", untrusted.Message(string(e.reason)))
}

// endpoint is the address that a call went to, or empty.
func (e *entry) endpoint() string {
	if !e.remote.IsValid() {
		return ""
	}
	return e.remote.String()
}
