package links

import (
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/feed/internal/entry"
	"breakwater.dev/gate"
	"breakwater.dev/internal/alslog"
	"breakwater.dev/wire"
)

// Links are the connections of one proxy to an upstream that speaks TCP, as far as the proxy has logged them.
type Links struct {
	gate.Links
	second breaker.Instant // when that second began
	begun  breaker.Instant // when the last connection started that was not rejected
	before breaker.Instant // when the one before it started
	// Deadline is how long it may take to establish a connection.
	Deadline time.Duration
}

// wanted notes that a client wants a connection.
func (l *Links) wanted(now breaker.Instant) {
	if passed := now.Sub(l.second); l.Called == 0 {
		l.second = now
	} else if passed >= time.Second {
		l.Pause, l.second = passed, now
	}
	l.Called = now
}

// Take counts an entry. The entries of one connection come in order: that it started, that it is established, and that it
// ended. A proxy that logs no starts logs only the end of a connection that was not established. The end may be lost.
func (l *Links) Take(e *entry.Entry, result entry.Connected, now breaker.Instant) {
	l.Expire(now)
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

// Expire makes up for ends that were lost: when the last connection that started has had its time, none is being
// established.
func (l *Links) Expire(now breaker.Instant) {
	if now.Sub(l.begun) > l.Deadline {
		l.Connecting = 0
	}
}
