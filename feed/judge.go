package feed

import (
	"bytes"
	"net/http"
	"strconv"

	"google.golang.org/grpc/codes"

	"breakwater.dev/breaker"
)

// Numbers of fields in ResponseFlags. In brackets what Envoy's logs print for them.
const (
	noHealthyUpstream     = 1 << 2  // UH
	upstreamTimeout       = 1 << 3  // UT
	localReset            = 1 << 4  // LR
	upstreamReset         = 1 << 5  // UR
	connectFailure        = 1 << 6  // UF
	connectionTermination = 1 << 7  // UC
	upstreamOverflow      = 1 << 8  // UO
	retryLimitExceeded    = 1 << 16 // URX
	upstreamMaxDuration   = 1 << 20 // UMSDR
	durationTimeout       = 1 << 23 // DT
	upstreamProtocolError = 1 << 24 // UPE
	nameResolutionFailed  = 1 << 27 // DF
	timeoutFlags          = upstreamTimeout | upstreamMaxDuration | durationTimeout
	failureFlags          = noHealthyUpstream | localReset | upstreamReset | connectFailure |
		connectionTermination | retryLimitExceeded | upstreamProtocolError | nameResolutionFailed
	// cutFlags tell that a response broke off after its headers.
	cutFlags = localReset | upstreamReset | connectionTermination | upstreamProtocolError
)

// Values of response_code_details.
const (
	viaUpstream = "via_upstream" // a response that the proxy passed on
	// A gRPC client's own deadline passed. No flag tells (measured with Envoy 1.40).
	maxDurationTimeout = "max_duration_timeout"
	// viaCopy is what Envoy calls responses of scripts, of which package xds has one.
	viaCopy = "lua_response"
)

// outcome is what became of an HTTP call.
func (e *entry) outcome(a *attribution) breaker.Outcome {
	passedOn := len(e.details) == 0 || string(e.details) == viaUpstream
	// Flags may tell of an earlier attempt, where there were several.
	broken := e.flags
	if passedOn && e.attempts > 1 {
		broken = 0
	}
	switch {
	case broken&timeoutFlags != 0 || string(e.details) == maxDurationTimeout:
		return breaker.Timeout
	case passedOn && broken&cutFlags != 0, !passedOn && broken&failureFlags != 0:
		return breaker.Failure
	case !passedOn && (e.status == 0 || e.local()):
		return breaker.Ignored // a client that left, a limit of the proxy's
	case !a.grpc:
		return a.classify.HTTP(int(e.status))
	case e.grpcStatus != nil:
		return a.grpcOutcome(e.grpcStatus)
	case e.grpcHeader != nil:
		return a.grpcOutcome(e.grpcHeader)
	case !passedOn:
		return breaker.Ignored // it left before the trailers
	case e.status == http.StatusOK:
		return a.grpcOutcome(nil) // no status where one was to come
	default:
		return a.classify.HTTP(int(e.status))
	}
}

// local tells whether the proxy made the response. What a client left in the middle of was
// answered by the upstream.
func (e *entry) local() bool {
	return !bytes.HasPrefix(e.details, []byte("downstream_"))
}

// grpcOutcome classifies a grpc-status. A failure by DEADLINE_EXCEEDED is a timeout whoever
// noticed it first; a status that is missing or no number is UNKNOWN.
func (a *attribution) grpcOutcome(status []byte) breaker.Outcome {
	code, err := strconv.Atoi(string(status))
	if err != nil {
		code = int(codes.Unknown)
	}
	o := a.classify.GRPC(code)
	if o == breaker.Failure && codes.Code(code) == codes.DeadlineExceeded {
		return breaker.Timeout
	}
	return o
}

// ending is what an entry of a connection says.
type ending uint8

const (
	nothing     ending = iota // of what is known already
	established               // the call succeeded
	failed                    // it could not be established, or was reset later
	timedOut                  // it could not be established in time
	turnedAway                // the gate, or the policy's own limit, let none through
)

// connection reads an entry of a connection.
func (e *entry) connection() ending {
	switch {
	case e.kind == tcpUpstreamConnected:
		return established
	case e.kind != tcpConnectionEnd:
		return nothing
	case e.flags&upstreamOverflow != 0:
		return turnedAway
	case e.flags&connectFailure != 0 && bytes.Contains(e.reason, []byte("timeout")), e.flags&timeoutFlags != 0:
		return timedOut
	case e.flags&failureFlags != 0:
		return failed
	default:
		return nothing
	}
}
