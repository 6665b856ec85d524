package feed

import (
	"bytes"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/feed/internal/running"
	"breakwater.dev/internal/alslog"
	"breakwater.dev/outlier"
	"breakwater.dev/wire"
)

// entry is an access log entry, with the mark that the control plane gave to its request if that is a probe.
type entry struct {
	*alslog.Entry
	process uint32 // the process of the control plane that admitted the probe
	probe   uint32 // the id of the probe there; 0: the request is no probe
	// The tag says the fields below; see [worker.readTag].
	identified bool
	call       running.ID
	lasted     time.Duration // when the entry was written
}

// ending translates the entry of a request that has ended.
func (e *entry) ending(r *wire.Rules) wire.Ending {
	x := wire.Ending{
		Flags: wire.Flags(e.Flags), Details: wire.DetailsOf(e.Details), Status: int(e.Status),
		Responded: e.ResponseBegin >= 0, Complete: e.Complete, Body: e.BodyBytes,
		GRPC:         r.GRPC && wire.IsGRPC(e.RequestContentType),
		GRPCResponse: wire.IsGRPC(e.ResponseContentType), EventStream: wire.IsEventStream(e.ResponseContentType),
		GRPCStatus: wire.NoGRPCStatus, Probe: e.probe != 0,
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

// classOf returns what a request that ended in an outcome says of its endpoint.
func classOf(x *wire.Ending, o breaker.Outcome) outlier.Class {
	if x.LocalOrigin(o) {
		return outlier.LocalOrigin
	}
	return outlier.ClassOf(x.HTTPStatus())
}

// connected is the news in the entry of a connection to an upstream that speaks TCP.
type connected uint8

const (
	unchanged   connected = iota // none
	established                  // the proxy established it
	failed                       // the proxy could not establish it, or it was reset later
	timedOut                     // the proxy could not establish it in time
	rejected                     // the gate, or the limit in the policy, did not admit it
)

// connection translates the entry of a connection.
func (e *entry) connection() connected {
	flags := wire.Flags(e.Flags)
	switch {
	case e.Type == alslog.TCPUpstreamConnected:
		return established
	case e.Type != alslog.TCPConnectionEnd:
		return unchanged
	case flags&wire.UpstreamOverflow != 0:
		return rejected
	case flags&wire.ConnectFailure != 0 && e.connectTimeout(), flags&wire.Timeouts != 0:
		return timedOut
	case flags&wire.Failures != 0:
		return failed
	default:
		return unchanged
	}
}

// connectTimeout reports whether a connection that failed took too long. Envoy then gives no reason, or, where there
// were several attempts, one that says so (1.40).
func (e *entry) connectTimeout() bool {
	return len(e.TransportFailure) == 0 || bytes.Contains(e.TransportFailure, []byte("timeout"))
}

// outcome returns the outcome of a connection that was admitted.
func (c connected) outcome() breaker.Outcome {
	switch c {
	case established:
		return breaker.Success
	case timedOut:
		return breaker.Timeout
	default:
		return breaker.Failure
	}
}

// class returns what a connection that was admitted says of its endpoint.
func (c connected) class() outlier.Class {
	if c == established {
		return outlier.Success
	}
	return outlier.LocalOrigin
}
