package feed

import (
	"bytes"

	"breakwater.dev/wire"
)

// ending reads how an HTTP call ended.
func (e *entry) ending(r *wire.Rules) wire.Ending {
	x := wire.Ending{
		Flags: e.flags, Details: wire.DetailsOf(e.details), Status: int(e.status),
		Responded: e.headers >= 0, Complete: e.complete, Body: e.body,
		GRPC:         r.GRPC && wire.IsGRPC(e.requestType),
		GRPCResponse: wire.IsGRPC(e.responseType), EventStream: wire.IsEventStream(e.responseType),
		GRPCStatus: wire.NoGRPCStatus, Probe: e.probe != 0,
		Deadline: wire.DeadlineOf(e.timeout),
	}
	x.Clock(e.requestEnd, e.headers, e.took, wire.IsUpgrade(e.upgrade))
	switch {
	case e.grpcStatus != nil:
		x.GRPCStatus = wire.GRPCStatusOf(e.grpcStatus)
	case e.grpcHeader != nil:
		x.GRPCStatus, x.StatusAlone = wire.GRPCStatusOf(e.grpcHeader), true
	}
	// Flags may tell of an earlier attempt, where there were several.
	if x.Details == wire.Passed && e.attempts > 1 {
		x.Flags = 0
	}
	return x
}

// connected is what an entry of a connection says.
type connected uint8

const (
	nothing     connected = iota // of what is known already
	established                  // the call succeeded
	failed                       // it could not be established, or was reset later
	timedOut                     // it could not be established in time
	turnedAway                   // the gate, or the policy's own limit, let none through
)

// lateConnect reports whether a connection failed because it took too long. Envoy gives no reason
// then, or, where there were several attempts, says so (1.40).
func (e *entry) lateConnect() bool {
	return len(e.reason) == 0 || bytes.Contains(e.reason, []byte("timeout"))
}

// connection reads an entry of a connection.
func (e *entry) connection() connected {
	switch {
	case e.kind == tcpUpstreamConnected:
		return established
	case e.kind != tcpConnectionEnd:
		return nothing
	case e.flags&wire.UpstreamOverflow != 0:
		return turnedAway
	case e.flags&wire.ConnectFailure != 0 && e.lateConnect(), e.flags&wire.Timeouts != 0:
		return timedOut
	case e.flags&wire.Failures != 0:
		return failed
	default:
		return nothing
	}
}
