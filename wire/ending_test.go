package wire

import (
	"testing"
	"time"

	"breakwater.dev/breaker"
)

// classifier is the default classifier of policies.
type classifier struct{}

func (classifier) HTTP(status int) breaker.Outcome {
	if status >= 500 {
		return breaker.Failure
	}
	return breaker.Success
}

func (classifier) GRPC(code int) breaker.Outcome {
	switch code {
	case 2, 4, 8, 13, 14, 15:
		return breaker.Failure
	}
	return breaker.Success
}

// Endings from which the rows below are made: an HTTP call with and without a response, and a gRPC call with and without.
var (
	answered = Ending{Details: Passed, Status: 200, Responded: true, Whole: true, GRPCStatus: NoGRPCStatus, Took: time.Millisecond, Lasted: time.Millisecond}
	silent   = Ending{Whole: true, GRPCStatus: NoGRPCStatus, Took: time.Second, Lasted: time.Second}
	called   = with(answered, func(e *Ending) { e.GRPC, e.GRPCResponse = true, true })
	unheard  = with(silent, func(e *Ending) { e.GRPC = true })
)

func with(e Ending, change func(*Ending)) Ending {
	change(&e)
	return e
}

// row is one ending of a call with its outcome, and the outcome with which ext_proc settles it.
type row struct {
	name    string
	ending  Ending
	want    breaker.Outcome
	settled breaker.Outcome
}

const (
	success = breaker.Success
	failure = breaker.Failure
	timeout = breaker.Timeout
	ignored = breaker.Ignored
	gone    = breaker.Abandoned
)

var unanswered = []row{
	{"refused", with(silent, func(e *Ending) { e.Flags, e.Status = ConnectFailure, 503 }), failure, failure},
	{"reset", with(silent, func(e *Ending) { e.Flags, e.Status = UpstreamReset, 503 }), failure, failure},
	{"closed", with(silent, func(e *Ending) { e.Flags, e.Status = ConnectionTermination, 503 }), failure, failure},
	{"reset in the middle of an upload", with(silent, func(e *Ending) { e.Flags, e.Status, e.Whole = UpstreamReset, 503, false }), failure, failure},
	{"no healthy endpoint", with(silent, func(e *Ending) { e.Flags, e.Status = NoHealthyUpstream, 503 }), failure, failure},
	{"no address", with(silent, func(e *Ending) { e.Flags, e.Status = NameResolutionFailed, 503 }), failure, failure},
	{"timeout", with(silent, func(e *Ending) { e.Flags, e.Status = UpstreamTimeout, 504 }), timeout, timeout},
	{"timeout and a failed connection", with(silent, func(e *Ending) { e.Flags, e.Status = UpstreamTimeout|ConnectFailure, 504 }), timeout, timeout},
	{"idle service", with(silent, func(e *Ending) { e.Flags, e.Status = StreamIdle, 504 }), timeout, timeout},
	{"idle caller", with(silent, func(e *Ending) { e.Flags, e.Status, e.Whole = StreamIdle, 408, false }), ignored, ignored},
	{"caller left", with(silent, func(e *Ending) { e.Flags = DownstreamTermination }), gone, ignored},
	{"caller reset its stream", with(silent, func(e *Ending) { e.Flags = DownstreamReset }), gone, ignored},
	{"caller left its upload", with(silent, func(e *Ending) { e.Flags, e.Whole = DownstreamTermination, false }), ignored, ignored},
	{"no status and no flag", silent, gone, ignored},
	{"overflow", with(silent, func(e *Ending) { e.Flags, e.Status = UpstreamOverflow, 503 }), ignored, ignored},
	{"malformed request", with(silent, func(e *Ending) { e.Status, e.Whole = 400, false }), ignored, ignored},
	{"client's own deadline", with(unheard, func(e *Ending) { e.Details, e.Status = MaxDuration, 504 }), gone, gone},
	{"client's own deadline in its upload", with(unheard, func(e *Ending) { e.Details, e.Status, e.Whole = MaxDuration, 504, false }), ignored, ignored},
	{"cap of the policy's timeout", with(unheard, func(e *Ending) { e.Details, e.Status, e.Took = MaxDuration, 504, 10*time.Second }), timeout, timeout},
	{"reset at the policy's timeout, which the request took a part of", with(unheard, func(e *Ending) {
		e.Flags, e.Status, e.Took, e.Lasted = UpstreamReset, 503, 9*time.Second, 10*time.Second
	}), gone, gone},
	{"reset at the client's own deadline", with(unheard, func(e *Ending) {
		e.Flags, e.Status, e.Deadline = UpstreamReset, 503, time.Second
	}), gone, gone},
	{"reset of a call that is not gRPC but has a grpc-timeout in the past", with(silent, func(e *Ending) {
		e.Flags, e.Status, e.Deadline = UpstreamReset, 503, time.Nanosecond
	}), failure, failure},
	{"reset long before the client's own deadline", with(unheard, func(e *Ending) {
		e.Flags, e.Status, e.Deadline = UpstreamReset, 503, 2*time.Second
	}), failure, failure},
	{"a proxy that explains nothing", with(silent, func(e *Ending) { e.Details, e.Status = Passed, 503 }), failure, failure},
}

var complete = []row{
	{"200", answered, success, success},
	{"404", with(answered, func(e *Ending) { e.Status = 404 }), success, success},
	{"500", with(answered, func(e *Ending) { e.Status = 500 }), failure, failure},
	{"gRPC OK", with(called, func(e *Ending) { e.GRPCStatus = 0 }), success, success},
	{"gRPC NOT_FOUND", with(called, func(e *Ending) { e.GRPCStatus = 5 }), success, success},
	{"gRPC UNAVAILABLE", with(called, func(e *Ending) { e.GRPCStatus = 14 }), failure, failure},
	{"gRPC DEADLINE_EXCEEDED", with(called, func(e *Ending) { e.GRPCStatus = 4 }), timeout, timeout},
	{"gRPC DEADLINE_EXCEEDED at the client's own deadline", with(called, func(e *Ending) {
		e.GRPCStatus, e.Deadline, e.Lasted = 4, 25*time.Millisecond, 25*time.Millisecond
	}), gone, gone},
	{"gRPC DEADLINE_EXCEEDED long before the client's own deadline", with(called, func(e *Ending) {
		e.GRPCStatus, e.Deadline, e.Lasted = 4, time.Second, 25*time.Millisecond
	}), timeout, timeout},
	{"gRPC DEADLINE_EXCEEDED, and the client's own deadline is longer than the policy's timeout", with(called, func(e *Ending) {
		e.GRPCStatus, e.Deadline, e.Lasted = 4, time.Minute, 9*time.Second
	}), timeout, timeout},
	{"gRPC DEADLINE_EXCEEDED alone at the policy's timeout, which the request took a part of", with(called, func(e *Ending) {
		e.GRPCStatus, e.StatusAlone, e.Took, e.Lasted = 4, true, 9*time.Second, 10*time.Second
	}), gone, gone},
	{"gRPC without a status", called, failure, ignored},
	{"gRPC call answered with a page", with(called, func(e *Ending) { e.GRPCResponse = false }), failure, failure},
	{"gRPC call answered with an error page", with(called, func(e *Ending) { e.GRPCResponse, e.Status = false, 404 }), success, success},
	{"HTTP call of a browser answered with a page by a gRPC service", with(answered, func(e *Ending) { e.GRPCStatus = NoGRPCStatus }), success, success},
}

var later = []row{
	{"broken off", with(answered, func(e *Ending) { e.Details, e.Flags = Proxy, UpstreamReset }), failure, success},
	{"cut short", with(answered, func(e *Ending) { e.Details, e.Flags = Proxy, UpstreamProtocolError }), failure, success},
	{"broken before it was passed on", with(answered, func(e *Ending) { e.Details, e.Flags, e.Status, e.Complete = Proxy, ConnectionTermination, 502, true }), failure, success},
	{"an error that is broken off", with(answered, func(e *Ending) { e.Details, e.Flags, e.Status = Proxy, UpstreamReset, 500 }), failure, failure},
	{"caller left", with(answered, func(e *Ending) { e.Details, e.Flags = Proxy, DownstreamTermination }), success, success},
	{"caller left while its proxy waited for more of the response", with(answered, func(e *Ending) { e.Details, e.Flags, e.Status = Proxy, DownstreamTermination, 0 }), success, success},
	{"hangs until the timeout", with(answered, func(e *Ending) { e.Details, e.Flags = Proxy, UpstreamTimeout }), timeout, success},
	{"slow reader at the timeout", with(answered, func(e *Ending) { e.Details, e.Flags, e.Body = Proxy, UpstreamTimeout, 1<<20 }), success, success},
	{"event stream at the timeout", with(answered, func(e *Ending) { e.Details, e.Flags, e.EventStream = Proxy, UpstreamTimeout, true }), success, success},
	{"hangs until it is idle", with(answered, func(e *Ending) { e.Details, e.Flags = Proxy, StreamIdle }), timeout, success},
	{"silent event stream", with(answered, func(e *Ending) { e.Details, e.Flags, e.EventStream = Proxy, StreamIdle, true }), timeout, success},
	{"idle reader", with(answered, func(e *Ending) { e.Details, e.Flags, e.Body = Proxy, StreamIdle, 1<<20 }), success, success},
	{"idle caller", with(answered, func(e *Ending) { e.Details, e.Flags, e.Whole = Proxy, StreamIdle, false }), success, success},
	{"upgraded, closed by the service", with(answered, func(e *Ending) { e.Details, e.Flags, e.Status = Proxy, ConnectionTermination, 101 }), success, success},
	{"upgraded, idle", with(answered, func(e *Ending) { e.Details, e.Flags, e.Status = Proxy, StreamIdle, 101 }), success, success},
	{"gRPC reset before it was passed on", with(called, func(e *Ending) { e.Details, e.Flags, e.GRPCStatus = Proxy, UpstreamReset, 14 }), failure, ignored},
	{"gRPC reset", with(called, func(e *Ending) { e.Details, e.Flags = Proxy, UpstreamReset }), failure, ignored},
	{"gRPC reset at the client's own deadline", with(called, func(e *Ending) {
		e.Details, e.Flags, e.Deadline, e.Lasted = Proxy, UpstreamReset, time.Second, time.Second
	}), ignored, ignored},
	{"gRPC stream at the timeout", with(called, func(e *Ending) { e.Details = MaxDuration }), ignored, ignored},
	{"gRPC stream that its service ends at the timeout", with(called, func(e *Ending) { e.GRPCStatus, e.Lasted = 4, 10*time.Second }), ignored, ignored},
	{"gRPC stream that its service resets at the timeout", with(called, func(e *Ending) {
		e.Details, e.Flags, e.Lasted = Proxy, UpstreamReset, 10*time.Second
	}), ignored, ignored},
	{"gRPC call that its service ends at the timeout without an answer", with(called, func(e *Ending) {
		e.GRPCStatus, e.Took, e.Lasted = 4, 10*time.Second, 10*time.Second
	}), timeout, timeout},
	{"gRPC stream that is idle", with(called, func(e *Ending) { e.Details, e.Flags = Proxy, StreamIdle }), timeout, ignored},
	{"gRPC caller left", with(called, func(e *Ending) { e.Details, e.Flags = Proxy, DownstreamReset }), ignored, ignored},
	{"gRPC probe that is a stream", with(called, func(e *Ending) { e.Details, e.Flags, e.Probe = Proxy, DownstreamReset, true }), ignored, success},
	{"gRPC probe that breaks", with(called, func(e *Ending) { e.Details, e.Flags, e.Probe = Proxy, UpstreamReset, true }), failure, success},
}

// TestEndings checks the outcome of each ending, with the whole call known and with its headers known.
func TestEndings(t *testing.T) {
	for _, group := range []struct {
		name string
		rows []row
	}{{"before a response", unanswered}, {"complete", complete}, {"after the headers", later}} {
		for _, tt := range group.rows {
			t.Run(group.name+"/"+tt.name, func(t *testing.T) {
				r := Rules{Classify: classifier{}, GRPC: tt.ending.GRPC, Timeout: 10 * time.Second}
				if got := tt.ending.Outcome(&r); got != tt.want {
					t.Errorf("outcome %s, want %s", got, tt.want)
				}
				got := tt.ending.Settled(&r)
				if got != tt.settled {
					t.Errorf("settled as %s, want %s", got, tt.settled)
				}
				if corrects := tt.ending.Corrects(got, tt.want); corrects != (got != tt.want && tt.want != success && tt.want != ignored) {
					t.Errorf("%s corrects %s: %t", tt.want, got, corrects)
				}
			})
		}
	}
}

// TestClientGone shows that the policy decides the outcome of a call whose caller gave up.
func TestClientGone(t *testing.T) {
	left := with(silent, func(e *Ending) { e.Flags = DownstreamTermination })
	own := with(called, func(e *Ending) { e.GRPCStatus, e.Deadline, e.Lasted = 4, time.Millisecond, time.Millisecond })
	for setting, want := range map[breaker.ClientGone]breaker.Outcome{
		breaker.GoneSlow: breaker.Abandoned, breaker.GoneIgnored: breaker.Ignored, breaker.GoneFailure: breaker.Failure,
	} {
		r := Rules{Classify: classifier{}, ClientGone: setting}
		if got := left.Outcome(&r); got != want {
			t.Errorf("%s: a call whose caller left is %s, want %s", setting, got, want)
		}
		if got := own.Outcome(&r); got != want {
			t.Errorf("%s: a call whose own deadline passed is %s, want %s", setting, got, want)
		}
	}
}

// TestClock shows that the service's time is from the end of the request to the headers of the response.
func TestClock(t *testing.T) {
	const ms, never = time.Millisecond, time.Duration(-1)
	for _, tt := range []struct {
		name                     string
		requestEnd, headers, end time.Duration
		upgrade                  bool
		want                     Ending
	}{
		{"answered", 0, 5 * ms, 9 * ms, false, Ending{Whole: true, Took: 5 * ms, Lasted: 9 * ms}},
		{"uploaded", 3 * ms, 5 * ms, 9 * ms, false, Ending{Whole: true, Took: 2 * ms, Lasted: 9 * ms}},
		{"answered, and the request never ended", never, 5 * ms, 9 * ms, false, Ending{Lasted: 9 * ms}},
		{"answered before the request ended", 7 * ms, 5 * ms, 9 * ms, false, Ending{Whole: true, Lasted: 9 * ms}},
		{"unanswered", 3 * ms, never, 9 * ms, false, Ending{Whole: true, Took: 6 * ms, Lasted: 9 * ms}},
		{"unanswered, in the upload", never, never, 9 * ms, false, Ending{Lasted: 9 * ms}},
		{"upgraded", never, 5 * ms, 9 * ms, true, Ending{Whole: true, Took: 5 * ms, Lasted: 9 * ms}},
		{"end from a clock that started later", 0, 5 * ms, 4 * ms, false, Ending{Whole: true, Took: 5 * ms, Lasted: 5 * ms}},
		{"not upgraded", never, never, 9 * ms, true, Ending{Whole: true, Took: 9 * ms, Lasted: 9 * ms}},
	} {
		var got Ending
		got.Clock(tt.requestEnd, tt.headers, tt.end, tt.upgrade)
		if got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// TestHTTPStatus shows that the HTTP status of a failed gRPC call, which is 200, is replaced by the one with the same
// meaning.
func TestHTTPStatus(t *testing.T) {
	for status, want := range map[GRPCStatus]int{NoGRPCStatus: 200, 0: 200, 5: 200, 2: 500, 13: 500, 15: 500, 14: 503, 4: 504} {
		e := with(called, func(e *Ending) { e.GRPCStatus = status })
		if got := e.HTTPStatus(); got != want {
			t.Errorf("grpc-status %d: %d, want %d", status, got, want)
		}
	}
	if got := answered.HTTPStatus(); got != 200 {
		t.Errorf("HTTP call: %d, want 200", got)
	}
}

// TestLocalOrigin shows that only a failed call can have an error of local origin.
func TestLocalOrigin(t *testing.T) {
	for _, tt := range []struct {
		flags   Flags
		outcome breaker.Outcome
		want    bool
	}{
		{ConnectFailure, breaker.Failure, true}, {UpstreamReset, breaker.Failure, true}, {UpstreamTimeout, breaker.Timeout, true},
		{StreamIdle, breaker.Timeout, true}, {UpstreamTimeout, breaker.Ignored, false}, {UpstreamReset, breaker.Success, false},
		{NoHealthyUpstream, breaker.Failure, false}, {0, breaker.Failure, false},
	} {
		if got := (&Ending{Flags: tt.flags}).LocalOrigin(tt.outcome); got != tt.want {
			t.Errorf("flags %b and %s: %t, want %t", tt.flags, tt.outcome, got, tt.want)
		}
	}
}
