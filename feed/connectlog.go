package feed

import (
	"sync/atomic"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/untrusted"
	"breakwater.dev/wire"
)

// connectLogInterval is the shortest time between two lines in the log about failed connections of one breaker.
const connectLogInterval = time.Minute

// connectLog limits the lines in the log about failed connections to one a minute for each breaker, however many proxies
// there are and whatever they send. It has the instant of the last line; 0: there was none.
type connectLog struct{ last atomic.Int64 }

// due reports whether a line may be written now, and if so, counts it as written.
func (c *connectLog) due(now breaker.Instant) bool {
	last := c.last.Load()
	return (last == 0 || now >= breaker.Instant(last).Add(connectLogInterval)) && c.last.CompareAndSwap(last, int64(now))
}

// logConnectFailure logs why the proxy could not connect to the upstream. Neither a status nor a metric says, for example, why a
// TLS handshake failed.
func (w *worker) logConnectFailure(to *target, now breaker.Instant) {
	e := &w.entry
	if len(e.TransportFailure) == 0 || wire.Flags(e.Flags)&wire.ConnectFailure == 0 || !to.connectLog.due(now) {
		return
	}
	endpoint := ""
	if e.Remote.IsValid() {
		endpoint = e.Remote.String()
	}
	w.server.options.Log.Warn("a proxy could not connect to a service; this is said once a minute",
		"service", to.key.Upstream, "route", to.key.Route, "node", w.node.id, "endpoint", endpoint, "reason", untrusted.Message(string(e.TransportFailure)))
}
