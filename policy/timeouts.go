package policy

import (
	"fmt"
	"strings"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/policy/internal/yamlwalk"
)

// The paths of the times that a call may take.
const (
	timeoutPath = "spec.timeout"
	headersPath = "spec.responseHeaderTimeout"
	idlePath    = "spec.idleTimeout"
)

// bound is how long a service has, and where that is written.
type bound struct {
	time time.Duration // 0: as long as it wants
	path string
}

// String returns "10s (timeout)".
func (b bound) String() string {
	return fmt.Sprintf("%s (%s)", yamlwalk.FormatDuration(b.time), strings.TrimPrefix(b.path, "spec."))
}

// headerTimeout is responseHeaderTimeout where it has an effect. A more specific policy may
// have a timeout that is no longer, which then ends every call first.
func (s *settings) headerTimeout() time.Duration {
	if s.timeout > 0 && s.headers >= s.timeout {
		return 0
	}
	return s.headers
}

// untilHeaders is how long a service has from the end of the request to the first headers
// of its response.
func (s *settings) untilHeaders() bound {
	if t := s.headerTimeout(); t > 0 {
		return bound{t, headersPath}
	}
	return bound{s.timeout, timeoutPath}
}

// untilTimeout is how long a service may send nothing at all before its call has timed out.
// Where no other time bounds that, it is idleTimeout: nothing moves while the service is at work.
func (s *settings) untilTimeout() bound {
	if b := s.untilHeaders(); b.time > 0 {
		return b
	}
	return bound{s.idle, idlePath}
}

// leaseMargin is how much longer than the service has for its headers a call may hold a permit.
// It covers the second or so in which the request of a probe has to end, the moment that
// a probe of gRPC waits for its trailers, and the time for the proxy to say what became of it.
const leaseMargin = 5 * time.Second

// lease is how long a call may hold a permit. The permit of a probe is free soon after the headers
// of its response, for gRPC too: one whose trailers do not follow is a stream, which
// may last any time. Where nothing bounds the time to the headers, it is as long as half-open lasts.
func (s *settings) lease() time.Duration {
	if b := s.untilHeaders(); b.time > 0 {
		return b.time + leaseMargin
	}
	return s.breaker.MaxWaitDurationInHalfOpenState
}

// forConnections returns the settings without what has no meaning for connections. A policy
// for the whole mesh may say it, and does not mean them.
func (s *settings) forConnections() *settings {
	s = s.clone()
	s.headers, s.idle = 0, 0
	s.gone = breaker.GoneSlow
	s.dataPath = Adaptive
	s.breaker.RampDuration = 0
	return s
}

// checkTimeouts reports a time that never passes, or passes too early. A responseHeaderTimeout
// that a less specific policy has may be without effect: nobody wrote it beside this timeout.
func (c *compiler) checkTimeouts(s *settings) {
	if at, ok := s.places.blame(headersPath, timeoutPath); ok && s.headers > 0 && s.headerTimeout() == 0 {
		c.fail(at, fmt.Sprintf("below %s, or beside timeout: 0s: the call has ended by then", bound{s.timeout, timeoutPath}), "no-effect")
	}
	if first := s.untilHeaders(); first.time > 0 && s.idle > 0 && s.idle <= first.time {
		c.failIdle(s, first)
	}
}

// failIdle reports an idleTimeout that passes before the time for the first headers does, at
// the newest of the fields that brought it about.
func (c *compiler) failIdle(s *settings, first bound) {
	idle, beside := bound{s.idle, idlePath}, ""
	if first.path == timeoutPath {
		beside = ", or beside a responseHeaderTimeout below " + yamlwalk.FormatDuration(s.idle)
	}
	at, want := s.places.newest(idlePath, headersPath, first.path), ""
	switch at.rank {
	case s.places[idlePath].rank:
		want = "above " + first.String() + beside
	case s.places[headersPath].rank:
		want = "above 0s and below " + idle.String()
	default:
		want = "below " + idle.String() + beside
	}
	c.fail(at, want+": a service that still has time for its first headers would be cut off for being idle", "idle-too-short")
}
