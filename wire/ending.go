package wire

import (
	"time"

	"breakwater.dev/breaker"
)

// The HTTP statuses that matter here. They are not from net/http, because that package brings a whole server with it.
const (
	switchingProtocols  = 101
	statusOK            = 200
	internalServerError = 500
	serviceUnavailable  = 503
	gatewayTimeout      = 504
)

// Ending is how a call ended, as far as it is known.
type Ending struct {
	Flags   Flags
	Details Details
	Status  int // the HTTP status that the caller got; 0: none
	// Responded means that the headers of the service's response have come.
	Responded bool
	// Whole means that the request had ended.
	Whole bool
	// Complete means that the caller got the end of its response.
	Complete bool
	// Body is how many bytes of the response's body have come.
	Body uint64
	// GRPC means that both the caller and the upstream speak gRPC.
	GRPC bool
	// GRPCResponse means that the response has gRPC's content type. EventStream means that it has the content type
	// of server-sent events.
	GRPCResponse, EventStream bool
	GRPCStatus                GRPCStatus
	// StatusAlone means that the response has nothing but headers, with the gRPC status in them. gRPC calls that
	// Trailers-Only: the service has sent no message.
	StatusAlone bool
	// Probe means that the call holds or held a permit of a half-open breaker.
	Probe bool
	// Took is the service's time: from the end of the request to the headers of the response, or
	// to the end of the call if there was no response; see [Ending.Clock].
	Took time.Duration
	// Lasted is the time from the beginning of the call to its end.
	Lasted time.Duration
	// Deadline is the time limit that the client set itself, in grpc-timeout; 0: none. It only matters for gRPC calls.
	Deadline time.Duration
}

// GRPCStatus is a grpc-status, or NoGRPCStatus.
type GRPCStatus int16

// The gRPC statuses that matter here.
const (
	NoGRPCStatus      GRPCStatus = -1 // the response has no status, which does not mean OK
	UnknownGRPCStatus GRPCStatus = 2  // UNKNOWN
	deadlineExceeded  GRPCStatus = 4
)

// GRPCStatusOf reads a grpc-status. A text that is not a number is UNKNOWN, as in gRPC's own clients.
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

// Classifier says which outcome a response has, by its HTTP or gRPC status.
type Classifier interface {
	HTTP(status int) breaker.Outcome
	GRPC(code int) breaker.Outcome
}

// Rules are the settings of a breaker's policy that decide about the outcomes of its calls.
type Rules struct {
	Classify   Classifier
	GRPC       bool               // the upstream speaks gRPC; most of its callers do, too
	Timeout    time.Duration      // the time limit for a whole call; 0: none
	ClientGone breaker.ClientGone // the outcome of a call whose caller gave up
}

// buffered is how many bytes of a response a proxy takes before it waits for a slow caller
// (Listener.per_connection_buffer_limit_bytes). While fewer bytes have come, only the service can be
// slow.
const buffered = 1 << 20

// Clock sets Whole, Lasted and Took from three times, which count from the beginning of the call: requestEnd is when the
// request had ended, headers when the headers of the response came, and end when the call ended. The first two are
// negative if that did not happen. end may come from another clock, which was started later; it may then be smaller than
// headers. An upgraded request counts as ended with its headers, since the bytes after them have no end.
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

// Outcome returns the outcome of a call that has ended.
func (e *Ending) Outcome(r *Rules) breaker.Outcome {
	if !e.Responded {
		return e.unanswered(r)
	}
	if e.Status == switchingProtocols {
		return breaker.Success
	}
	o, known := e.byStatus(r)
	switch {
	case known && o != breaker.Success:
		return o
	case e.Flags&CallerLeft == 0 && e.Flags&Cuts != 0 && !e.expired(r) && !e.outlasted(r):
		return breaker.Failure
	case e.Flags&StreamIdle != 0 && e.Whole && e.Body < buffered:
		return breaker.Timeout
	case e.Flags&Timeouts != 0 && !e.GRPC && !e.EventStream && e.Body < buffered:
		return breaker.Timeout
	case known:
		return o
	case e.Details == Passed && e.Flags&CallerLeft == 0:
		return e.grpc(r, UnknownGRPCStatus) // the call ended well, without a status
	default:
		return breaker.Ignored
	}
}

// AtHeaders returns the outcome according to the headers of the response, and to the trailers of a gRPC call if they
// have come. known is false if these do not decide it.
func (e *Ending) AtHeaders(r *Rules) (o breaker.Outcome, known bool) {
	switch {
	case !e.Responded:
		return e.unanswered(r), true
	case e.Status == switchingProtocols:
		return breaker.Success, true
	default:
		return e.byStatus(r)
	}
}

// Settled returns the outcome with which ext_proc settles a call at the end of its stream, when it knows at most the
// headers. The log entry of the same call corrects it later, with [Ending.Outcome].
func (e *Ending) Settled(r *Rules) breaker.Outcome {
	if !e.Responded && e.Status == 0 {
		return breaker.Ignored // no headers came, and the reason is not known
	}
	o, known := e.AtHeaders(r)
	switch {
	case known:
		return o
	case e.Probe:
		return breaker.Success // the call has become a stream
	default:
		return breaker.Ignored
	}
}

// Corrects reports whether the outcome o of a call must replace the settled one.
func (e *Ending) Corrects(settled, o breaker.Outcome) bool {
	return o != settled && !settled.Failed() && (o.Failed() || o == breaker.Abandoned)
}

// Unsent reports whether the call was sent to no endpoint. The consequence depends on the state of the breaker; see
// [breaker.Permit.Unsent].
func (e *Ending) Unsent() bool { return !e.Responded && e.Details != Passed && e.Flags.Unsent() }

// unanswered returns the outcome of a call that got no headers from the service.
func (e *Ending) unanswered(r *Rules) breaker.Outcome {
	switch {
	case e.Flags&CallerLeft != 0, e.Flags&Cuts != 0 && e.expired(r):
		return e.left(r)
	case e.Details == Passed && e.Status != 0:
		return r.Classify.HTTP(e.Status) // only the status is known: the proxy gave no details
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

// left returns the outcome of a call whose caller gave up before there was a response.
func (e *Ending) left(r *Rules) breaker.Outcome {
	if !e.Whole {
		return breaker.Ignored
	}
	return r.ClientGone.Outcome()
}

// byStatus returns the outcome by the status of the service's response. known is false if there is no status yet.
func (e *Ending) byStatus(r *Rules) (o breaker.Outcome, known bool) {
	switch {
	case e.GRPC && e.Details == Proxy && e.Flags&Cuts != 0:
		// The service's response broke off, so the status is the proxy's own.
		return 0, false
	case e.Details == Proxy && e.Flags&Cuts != 0 && e.Complete:
		// The service's response broke off before the proxy had passed any of it on, and the proxy answered with
		// an error of its own.
		return breaker.Success, true
	case !e.GRPC:
		return r.Classify.HTTP(e.Status), true
	case e.GRPCStatus != NoGRPCStatus:
		return e.grpc(r, e.GRPCStatus), true
	case e.GRPCResponse:
		return 0, false
	case e.Status == statusOK:
		return e.grpc(r, UnknownGRPCStatus), true // the service sent a page instead of a message
	default:
		return r.Classify.HTTP(e.Status), true
	}
}

// grpc classifies a grpc-status. A failure with DEADLINE_EXCEEDED is a timeout, whether the proxy or the service noticed it
// first, unless the deadline was the client's own and shorter than the policy's timeout.
func (e *Ending) grpc(r *Rules, status GRPCStatus) breaker.Outcome {
	o := r.Classify.GRPC(int(status))
	if o != breaker.Failure || status != deadlineExceeded {
		return o
	}
	switch {
	case e.expired(r):
		return r.ClientGone.Outcome()
	case e.outlasted(r) && e.StatusAlone:
		return e.left(r) // as if the proxy had noticed it first
	case e.outlasted(r):
		return breaker.Ignored
	default:
		return breaker.Timeout
	}
}

// expired reports whether the client's own deadline has passed, and is shorter than the policy's timeout. The service
// knows the same deadline, and measures it by its own clock. So a call that ends within the last tenth of the deadline,
// or later, counts as ended by the deadline.
func (e *Ending) expired(r *Rules) bool {
	own := e.GRPC && e.Deadline > 0 && (r.Timeout == 0 || e.Deadline < r.Timeout)
	return own && e.Lasted >= e.Deadline-e.Deadline/10
}

// outlasted reports whether the policy's timeout ended a gRPC call although the service used less time than the timeout:
// its response had begun, or the request took part of the time. The service knows the timeout, too, since the proxy
// passes it on, and may end the call before the proxy does.
func (e *Ending) outlasted(r *Rules) bool {
	return e.GRPC && r.Timeout > 0 && e.Lasted >= r.Timeout && e.Took < r.Timeout
}

// LocalOrigin reports whether a call with the outcome o failed because the proxy could not connect, waited too long, or
// lost the connection. Envoy's outlier detection calls such failures errors of local origin.
func (e *Ending) LocalOrigin(o breaker.Outcome) bool {
	return o.Failed() && e.Flags&(Timeouts|StreamIdle|ConnectFailure|Cuts) != 0
}

// HTTPStatus returns the HTTP status of the response. For a failed gRPC call it returns the HTTP status with the same
// meaning, as Envoy's own outlier detection does.
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
