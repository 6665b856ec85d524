package extproc

import (
	"strconv"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	"breakwater.dev/policy"
	"breakwater.dev/wire"
)

// ending reads what a response's headers say of how the call ends. What a proxy does not
// explain is taken as the upstream's. A response that was passed on is the upstream's
// whatever the flags say: they may tell of an earlier attempt.
func ending(h *extprocv3.HttpHeaders, attributes map[string]*structpb.Struct) wire.Ending {
	e := wire.Ending{Details: wire.Passed, GRPCStatus: wire.NoGRPCStatus}
	for _, a := range attributes {
		e.Details = wire.DetailsOf(a.GetFields()[wire.DetailsAttribute].GetStringValue())
		e.Flags = wire.FlagsOfAttribute(uint64(a.GetFields()[wire.FlagsAttribute].GetNumberValue()))
	}
	if e.Responded = e.Details == wire.Passed; e.Responded {
		e.Flags = 0
	}
	for _, v := range h.GetHeaders().GetHeaders() {
		switch v.GetKey() {
		case ":status":
			e.Status, _ = strconv.Atoi(text(v)) // one that cannot be read is none
		case "content-type":
			e.GRPCResponse = wire.IsGRPC(text(v))
		case "grpc-status":
			e.GRPCStatus, e.StatusAlone = wire.GRPCStatusOf(text(v)), h.GetEndOfStream()
		}
	}
	if h.GetEndOfStream() && e.GRPCResponse && e.GRPCStatus == wire.NoGRPCStatus {
		e.GRPCStatus = wire.UnknownGRPCStatus // nothing follows that could say more
	}
	return e
}

// reject is the answer to a call that got no permit. Envoy turns it into a gRPC
// reply where the caller speaks gRPC.
func reject(f *policy.Response, retryAfter time.Duration) *extprocv3.ProcessingResponse {
	headers := make([]*corev3.HeaderValueOption, 0, len(f.Headers)+2)
	set := func(name, value string) {
		headers = append(headers, &corev3.HeaderValueOption{
			Header:       &corev3.HeaderValue{Key: name, RawValue: []byte(value)},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		})
	}
	if f.ContentType != "" {
		set("content-type", f.ContentType)
	}
	for _, h := range f.Headers {
		set(h.Name, h.Value)
	}
	if retryAfter > 0 {
		set("retry-after", strconv.FormatInt(seconds(retryAfter), 10))
	}
	return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ImmediateResponse{
		ImmediateResponse: &extprocv3.ImmediateResponse{
			Status:     &typev3.HttpStatus{Code: typev3.StatusCode(f.Status)},
			Headers:    &extprocv3.HeaderMutation{SetHeaders: headers},
			Body:       []byte(f.Body),
			GrpcStatus: &extprocv3.GrpcStatus{Status: uint32(codes.Unavailable)},
			Details:    wire.RejectedDetails,
		},
	}}
}

// onward has the proxy see to a rejected call, where that takes more than an answer of ours:
// it is marked, and routed again. What became of calls that may be answered with a copy of
// a response is known to the proxy alone, so they are logged.
func onward(f *policy.Fallback) *extprocv3.ProcessingResponse {
	if f.Upstream == nil && f.Cached == nil {
		return nil
	}
	marks := map[string]*structpb.Value{wire.RejectedKey: structpb.NewBoolValue(true)}
	if f.Cached != nil {
		marks[wire.LoggedKey] = structpb.NewBoolValue(true)
	}
	return routedAgain(marks)
}

// routedAgain has a call routed again, with marks by which routes tell where it goes.
func routedAgain(marks map[string]*structpb.Value) *extprocv3.ProcessingResponse {
	return &extprocv3.ProcessingResponse{
		Response: &extprocv3.ProcessingResponse_RequestHeaders{RequestHeaders: &extprocv3.HeadersResponse{
			Response: &extprocv3.CommonResponse{
				ClearRouteCache: true,
				// Envoy does so only where headers change (1.40), so one goes that no call has.
				HeaderMutation: &extprocv3.HeaderMutation{RemoveHeaders: []string{wire.NoHeader}},
			},
		}},
		DynamicMetadata: marksOf(marks),
	}
}

func marksOf(marks map[string]*structpb.Value) *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{
		wire.Namespace: structpb.NewStructValue(&structpb.Struct{Fields: marks}),
	}}
}

// admitted lets a call through that falls back without a mark; shared and never changed.
var admitted = routedAgain(map[string]*structpb.Value{wire.AdmittedKey: structpb.NewBoolValue(true)})

// admitting lets a call through. A probe is marked as one for the log, which tells whether its
// request has ended and how the call does; others have none.
func admitting(marking bool, probe string) *extprocv3.ProcessingResponse {
	marks := map[string]*structpb.Value{wire.ProbeKey: structpb.NewStringValue(probe)}
	switch {
	case probe == "" && !marking:
		return continueRequestHeaders
	case probe == "":
		return admitted
	case !marking:
		return &extprocv3.ProcessingResponse{Response: continueRequestHeaders.Response, DynamicMetadata: marksOf(marks)}
	default:
		marks[wire.AdmittedKey] = structpb.NewBoolValue(true)
		return routedAgain(marks)
	}
}
