package entry

import (
	"bytes"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/feed/internal/running"
	"breakwater.dev/internal/alslog"
	"breakwater.dev/outlier"
	"breakwater.dev/wire"
)

// Entry is an access log entry, with the mark that the control plane gave to its request if that is a probe.
type Entry struct {
	*alslog.Entry
	Process uint32 // the process of the control plane that admitted the probe
	Probe   uint32 // the id of the probe there; 0: the request is no probe
	// The tag says the fields below; see [wire.Running].
	Identified bool
	Call       running.ID
	Lasted     time.Duration // when the entry was written
}

// Ending translates the entry of a request that has ended.
func (e *Entry) Ending(r *wire.Rules) wire.Ending {
	x := wire.Ending{
		Flags: wire.Flags(e.Flags), Details: wire.DetailsOf(e.Details), Status: int(e.Status),
		Responded: e.ResponseBegin >= 0, Complete: e.Complete, Body: e.BodyBytes,
		GRPC:         r.GRPC && wire.IsGRPC(e.RequestContentType),
		GRPCResponse: wire.IsGRPC(e.ResponseContentType), EventStream: wire.IsEventStream(e.ResponseContentType),
		GRPCStatus: wire.NoGRPCStatus, Probe: e.Probe != 0,
		Deadline: wire.DeadlineOf(e.GRPCTimeout),
	}
	x.Clock(e.RequestEnd, e.ResponseBegin, e.Duration, wire.IsUpgrade(e.Upgrade))
	switch {
	case e.GRPCStatusTrailer != nil:
		x.GRPCStatus = wire.GRPCStatusOf(e.GRPCStatusTrailer)
	case e.GRPCStatusHeader != nil:
		x.GRPCStatus, x.StatusAlone = wire.GRPCStatusOf(e.GRPCStatusHeader), true
	}
	// After several attempts the flags may come from an earlier one.
	if x.Details == wire.Passed && e.Attempts > 1 {
		x.Flags = 0
	}
	return x
}

// ClassOf returns what a request that ended in an outcome says of its endpoint.
func ClassOf(x *wire.Ending, o breaker.Outcome) outlier.Class {
	if x.LocalOrigin(o) {
		return outlier.LocalOrigin
	}
	return outlier.ClassOf(x.HTTPStatus())
}

// Connected is the news in the entry of a connection to an upstream that speaks TCP.
type Connected uint8

// The kinds of news.
const (
	Unchanged   Connected = iota // none
	Established                  // the proxy established it
	Failed                       // the proxy could not establish it, or it was reset later
	TimedOut                     // the proxy could not establish it in time
	Rejected                     // the gate, or the limit in the policy, did not admit it
)

// Connection translates the entry of a connection.
func (e *Entry) Connection() Connected {
	flags := wire.Flags(e.Flags)
	switch {
	case e.Type == alslog.TCPUpstreamConnected:
		return Established
	case e.Type != alslog.TCPConnectionEnd:
		return Unchanged
	case flags&wire.UpstreamOverflow != 0:
		return Rejected
	case flags&wire.ConnectFailure != 0 && e.connectTimeout(), flags&wire.Timeouts != 0:
		return TimedOut
	case flags&wire.Failures != 0:
		return Failed
	default:
		return Unchanged
	}
}

// connectTimeout reports whether a connection that failed took too long. Envoy then gives no reason, or, where there
// were several attempts, one that says so (1.40).
func (e *Entry) connectTimeout() bool {
	return len(e.TransportFailure) == 0 || bytes.Contains(e.TransportFailure, []byte("timeout"))
}

// Outcome returns the outcome of a connection that was admitted.
func (c Connected) Outcome() breaker.Outcome {
	switch c {
	case Established:
		return breaker.Success
	case TimedOut:
		return breaker.Timeout
	default:
		return breaker.Failure
	}
}

// Class returns what a connection that was admitted says of its endpoint.
func (c Connected) Class() outlier.Class {
	if c == Established {
		return outlier.Success
	}
	return outlier.LocalOrigin
}
