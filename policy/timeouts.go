package policy

import (
	"fmt"
	"strings"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/policy/internal/yamlwalk"
)

// The paths of the fields that limit the time of a call.
const (
	timeoutPath = "spec.timeout"
	headersPath = "spec.responseHeaderTimeout"
	idlePath    = "spec.idleTimeout"
)

// bound is the time that a service has, and the path of the field that says so.
type bound struct {
	time time.Duration // 0: no limit
	path string
}

// String returns "10s (timeout)".
func (b bound) String() string {
	return fmt.Sprintf("%s (%s)", yamlwalk.FormatDuration(b.time), strings.TrimPrefix(b.path, "spec."))
}

// headerTimeout returns responseHeaderTimeout, or 0 if it has no effect: a more specific policy may have a
// timeout that is no longer, and so ends every call first.
func (s *settings) headerTimeout() time.Duration {
	if s.timeout > 0 && s.headers >= s.timeout {
		return 0
	}
	return s.headers
}

// untilHeaders returns the time that a service has from the end of the request to the first headers of its
// response.
func (s *settings) untilHeaders() bound {
	if t := s.headerTimeout(); t > 0 {
		return bound{t, headersPath}
	}
	return bound{s.timeout, timeoutPath}
}

// untilTimeout returns how long a service may send nothing before its call times out. Without any other
// limit it is idleTimeout: no data moves while the service works on its response.
func (s *settings) untilTimeout() bound {
	if b := s.untilHeaders(); b.time > 0 {
		return b
	}
	return bound{s.idle, idlePath}
}

// leaseMargin is how much longer a call may hold a permit than the service may take for its headers. It
// covers the second or so in which the request of a probe must end, the moment for which a gRPC probe waits
// for trailers, and the time that the proxy needs to report the outcome.
const leaseMargin = 5 * time.Second

// lease returns how long a call may hold a permit. A probe gives its permit back soon after the headers of
// its response. The same holds for gRPC: a response without trailers then is a stream, which may last for
// any time. Without a limit on the time to the headers, the lease is as long as half-open may last.
func (s *settings) lease() time.Duration {
	if b := s.untilHeaders(); b.time > 0 {
		return b.time + leaseMargin
	}
	return s.breaker.MaxWaitDurationInHalfOpenState
}

// forConnections returns the settings for protocol TCP, without those that have no meaning for connections.
// A policy for the whole mesh may have them for other protocols.
func (s *settings) forConnections() *settings {
	s = s.clone()
	s.headers, s.idle = 0, 0
	s.gone = breaker.GoneSlow
	s.dataPath = Adaptive
	s.breaker.RampDuration = 0
	s.breaker.SlowCallDurationThreshold, s.breaker.SlowCallRateThreshold = 0, 0 // a log does not say how long connecting took
	return s
}

// checkTimeouts reports a timeout that has no effect, or that passes too early. A responseHeaderTimeout of a
// less specific policy may be without effect, since its author did not know this timeout.
func (fs *findings) checkTimeouts(s *settings) {
	if at, ok := s.places.blame(headersPath, timeoutPath); ok && s.headers > 0 && s.headerTimeout() == 0 {
		fs.fail(at, fmt.Sprintf("below %s, or beside timeout: 0s: the call has ended by then", bound{s.timeout, timeoutPath}), "no-effect")
	}
	if first := s.untilHeaders(); first.time > 0 && s.idle > 0 && s.idle <= first.time {
		fs.failIdle(s, first)
	}
}

// failIdle reports an idleTimeout that is not longer than the time for the first headers. The place is the
// most specific of the fields that cause the problem.
func (fs *findings) failIdle(s *settings, first bound) {
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
	fs.fail(at, want+": a service that still has time for its first headers would be cut off for being idle", "idle-too-short")
}
