package feed

import (
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/feed/internal/entry"
	"breakwater.dev/gate"
	"breakwater.dev/internal/alslog"
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
	links := w.node.linksTo(to.key.Upstream)
	links.deadline = to.connectDeadline()
	links.take(e, result, arrived)
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

// links are the connections of one proxy to an upstream that speaks TCP, as far as the proxy has logged them.
type links struct {
	gate.Links
	second   breaker.Instant // when that second began
	begun    breaker.Instant // when the last connection started that was not rejected
	before   breaker.Instant // when the one before it started
	deadline time.Duration   // how long it may take to establish a connection
}

// wanted notes that a client wants a connection.
func (l *links) wanted(now breaker.Instant) {
	if passed := now.Sub(l.second); l.Called == 0 {
		l.second = now
	} else if passed >= time.Second {
		l.Pause, l.second = passed, now
	}
	l.Called = now
}

// take counts an entry. The entries of one connection come in order: that it started, that it is established, and that it
// ended. A proxy that logs no starts logs only the end of a connection that was not established. The end may be lost.
func (l *links) take(e *entry.Entry, result entry.Connected, now breaker.Instant) {
	l.expire(now)
	wasEstablished := e.Remote.IsValid() && wire.Flags(e.Flags)&(wire.ConnectFailure|wire.UpstreamOverflow|wire.NoHealthyUpstream) == 0
	switch {
	case e.Type == alslog.TCPConnectionStart:
		l.wanted(now)
		l.Connecting++
		l.before, l.begun = l.begun, now
		return
	case result == entry.Established:
		l.Connecting -= min(l.Connecting, 1)
		l.Connections++
	case e.Type != alslog.TCPConnectionEnd:
		return
	case wasEstablished:
		l.Connections -= min(l.Connections, 1)
		return
	default:
		l.Connecting -= min(l.Connecting, 1)
	}
	l.wanted(now)
	if result != entry.Rejected {
		l.Admitted = now
		return
	}
	if l.Refused = now; l.before > 0 {
		l.begun = l.before // the rejected one ended at once
	}
}

// expire makes up for ends that were lost: when the last connection that started has had its time, none is being
// established.
func (l *links) expire(now breaker.Instant) {
	if now.Sub(l.begun) > l.deadline {
		l.Connecting = 0
	}
}
