package wire

import (
	"time"

	"breakwater.dev/breaker"
)

// The HTTP statuses that matter here. Package net/http would bring a whole server with it.
const (
	switchingProtocols  = 101
	statusOK            = 200
	internalServerError = 500
	serviceUnavailable  = 503
	gatewayTimeout      = 504
)

// Ending is how a call ended, or what is known of that so far.
type Ending struct {
	Flags   Flags
	Details Details
	Status  int // of the response that the caller got; 0: it got none
	// Responded says that the headers of the service's response have come.
	Responded bool
	// Whole says that the request had ended.
	Whole bool
	// Complete says that the caller got the end of its response.
	Complete bool
	// Body is how many bytes of the response's body have come.
	Body uint64
	// GRPC says that this is a gRPC call: its caller and its upstream speak gRPC.
	GRPC bool
	// GRPCResponse says that the response's content type is gRPC's, and EventStream that it is
	// that of server-sent events.
	GRPCResponse, EventStream bool
	GRPCStatus                GRPCStatus
	// StatusAlone says that the response's headers are its end, and the status is in them, which gRPC calls
	// Trailers-Only: the service said nothing before.
	StatusAlone bool
	// Probe says that the call holds or held a permit of a half-open breaker.
	Probe bool
	// Took is the service's time, from the end of the request to the headers of the response,
	// or to the end of the call if there are none; see [Ending.Clock].
	Took time.Duration
	// Lasted is the time from the beginning of the call to its end.
	Lasted time.Duration
	// Deadline is the client's own, from grpc-timeout; 0: it has none. It is heeded of gRPC calls only.
	Deadline time.Duration
}

// GRPCStatus is a grpc-status, or NoGRPCStatus.
type GRPCStatus int16

// The statuses that matter here.
const (
	NoGRPCStatus      GRPCStatus = -1 // there is none, which is not OK
	UnknownGRPCStatus GRPCStatus = 2  // UNKNOWN
	deadlineExceeded  GRPCStatus = 4
)

// GRPCStatusOf reads a grpc-status. One that is no number is UNKNOWN, as gRPC's own clients have it.
func GRPCStatusOf[T string | []byte](s T) GRPCStatus {
	if len(s) > 4 {
		return UnknownGRPCStatus
	}
	n, ok := digits(s, len(s))
	if !ok {
		return UnknownGRPCStatus
	}
	return GRPCStatus(n)
}

// Classifier says what a response means.
type Classifier interface {
	HTTP(status int) breaker.Outcome
	GRPC(code int) breaker.Outcome
}

// Rules are what the policy says of a breaker's calls.
type Rules struct {
	Classify   Classifier
	GRPC       bool          // the upstream speaks gRPC, as its callers mostly do
	Timeout    time.Duration // bounds the whole call; 0: nothing does
	ClientGone breaker.ClientGone
}

// buffered is how much of a response a proxy takes before it stops reading because of its
// reader (Listener.per_connection_buffer_limit_bytes). With less than that on its way, only
// the service can be what is slow.
const buffered = 1 << 20

// Clock sets what is said of the request's end, and the service's time: from the end of the
// request to the headers of the response, or else to the end of the call. All times are from
// the beginning of the call; requestEnd and headers are negative where they did not come. An end that is
// told by another clock, which began later, may be before the headers; it was not.
// The request of an upgrade is its headers, since what follows has no end.
func (e *Ending) Clock(requestEnd, headers, end time.Duration, upgrade bool) {
	if upgrade {
		requestEnd = 0
	}
	if headers < 0 {
		headers = end
	}
	e.Whole, e.Lasted = requestEnd >= 0, max(end, headers, 0)
	if e.Whole {
		e.Took = max(headers-requestEnd, 0)
	}
}

// Outcome is what became of a call that has ended.
func (e *Ending) Outcome(r *Rules) breaker.Outcome {
	if !e.Responded {
		return e.unanswered(r)
	}
	if e.Status == switchingProtocols {
		return breaker.Success
	}
	said, known := e.said(r)
	switch {
	case known && said != breaker.Success:
		return said
	case e.Flags&CallerLeft == 0 && e.Flags&Cuts != 0 && !e.expired(r) && !e.outlasted(r):
		return breaker.Failure
	case e.Flags&StreamIdle != 0 && e.Whole && e.Body < buffered:
		return breaker.Timeout
	case e.Flags&Timeouts != 0 && !e.GRPC && !e.EventStream && e.Body < buffered:
		return breaker.Timeout
	case known:
		return said
	case e.Details == Passed && e.Flags&CallerLeft == 0:
		return e.grpc(r, UnknownGRPCStatus) // it ended well, without a status
	default:
		return breaker.Ignored
	}
}

// AtHeaders is what the headers of a response say of a call, and of a gRPC call its trailers,
// if they have come.
func (e *Ending) AtHeaders(r *Rules) (o breaker.Outcome, known bool) {
	switch {
	case !e.Responded:
		return e.unanswered(r), true
	case e.Status == switchingProtocols:
		return breaker.Success, true
	default:
		return e.said(r)
	}
}

// Settled is what ext_proc makes of a call whose stream is over, and which it knows no more of than
// the headers. What [Ending.Outcome] says of the same call corrects it.
func (e *Ending) Settled(r *Rules) breaker.Outcome {
	if !e.Responded && e.Status == 0 {
		return breaker.Ignored // there were no headers, and why is not known
	}
	o, known := e.AtHeaders(r)
	switch {
	case known:
		return o
	case e.Probe:
		return breaker.Success // it has become a stream
	default:
		return breaker.Ignored
	}
}

// Corrects reports whether the outcome of a call, which is o, has to replace what was settled.
func (e *Ending) Corrects(settled, o breaker.Outcome) bool {
	return o != settled && !settled.Failed() && (o.Failed() || o == breaker.Abandoned)
}

// Unsent reports whether the call was sent to nobody. What that says of the service depends on
// the state of the breaker: see [breaker.Permit.Unsent].
func (e *Ending) Unsent() bool { return !e.Responded && e.Details != Passed && e.Flags.Unsent() }

// unanswered is the outcome of a call that got no headers from the service.
func (e *Ending) unanswered(r *Rules) breaker.Outcome {
	switch {
	case e.Flags&CallerLeft != 0, e.Flags&Cuts != 0 && e.expired(r):
		return e.left(r)
	case e.Details == Passed && e.Status != 0:
		return r.Classify.HTTP(e.Status) // a proxy that does not explain itself
	case e.Details == MaxDuration, e.Flags&Cuts != 0 && e.outlasted(r):
		if r.Timeout > 0 && e.Took >= r.Timeout {
			return breaker.Timeout
		}
		return e.left(r)
	case e.Flags&Timeouts != 0:
		return breaker.Timeout
	case e.Flags&StreamIdle != 0 && e.Whole:
		return breaker.Timeout
	case e.Flags&StreamIdle != 0:
		return breaker.Ignored
	case e.Flags&Failures != 0:
		return breaker.Failure
	case e.Status == 0:
		return e.left(r)
	default:
		return breaker.Ignored
	}
}

// left is the outcome of a call whose caller gave up before there was an answer.
func (e *Ending) left(r *Rules) breaker.Outcome {
	if !e.Whole {
		return breaker.Ignored
	}
	return r.ClientGone.Outcome()
}

// said is what the service's response says by its status, if that has come.
func (e *Ending) said(r *Rules) (o breaker.Outcome, known bool) {
	switch {
	case e.GRPC && e.Details == Proxy && e.Flags&Cuts != 0:
		// The service's response broke, and a status is the proxy's own.
		return 0, false
	case e.Details == Proxy && e.Flags&Cuts != 0 && e.Complete:
		// The service's response broke before it was passed on, and the proxy answered
		// with an error of its own.
		return breaker.Success, true
	case !e.GRPC:
		return r.Classify.HTTP(e.Status), true
	case e.GRPCStatus != NoGRPCStatus:
		return e.grpc(r, e.GRPCStatus), true
	case e.GRPCResponse:
		return 0, false
	case e.Status == statusOK:
		return e.grpc(r, UnknownGRPCStatus), true // a page, where a message was to come
	default:
		return r.Classify.HTTP(e.Status), true
	}
}

// grpc classifies a grpc-status. A failure by DEADLINE_EXCEEDED is a timeout whoever noticed
// it first, unless the deadline was that of a client with less patience than the policy has.
func (e *Ending) grpc(r *Rules, status GRPCStatus) breaker.Outcome {
	o := r.Classify.GRPC(int(status))
	if o != breaker.Failure || status != deadlineExceeded {
		return o
	}
	switch {
	case e.expired(r):
		return r.ClientGone.Outcome()
	case e.outlasted(r) && e.StatusAlone:
		return e.left(r) // as where the proxy notices it first
	case e.outlasted(r):
		return breaker.Ignored
	default:
		return breaker.Timeout
	}
}

// expired reports whether the client's own deadline has passed, which is earlier than the
// policy's timeout. The service has the same deadline, by a clock of its own: what it does
// within the last tenth of it, or later, is because of it.
func (e *Ending) expired(r *Rules) bool {
	own := e.GRPC && e.Deadline > 0 && (r.Timeout == 0 || e.Deadline < r.Timeout)
	return own && e.Lasted >= e.Deadline-e.Deadline/10
}

// outlasted reports whether the policy's timeout ends a gRPC call whose service had less time than
// that: its answer has begun, or its request took a part of it. The service has that deadline
// too, since the proxy passes it on, and may be the first to act on it.
func (e *Ending) outlasted(r *Rules) bool {
	return e.GRPC && r.Timeout > 0 && e.Lasted >= r.Timeout && e.Took < r.Timeout
}

// HTTPStatus is the status of the response, and for a gRPC call that failed the one that says
// the same, as Envoy's own outlier detection has it.
func (e *Ending) HTTPStatus() int {
	if !e.GRPC || e.GRPCStatus == NoGRPCStatus {
		return e.Status
	}
	switch e.GRPCStatus {
	case 2, 13, 15: // UNKNOWN, INTERNAL, DATA_LOSS
		return internalServerError
	case 14: // UNAVAILABLE
		return serviceUnavailable
	case deadlineExceeded:
		return gatewayTimeout
	}
	return e.Status
}
