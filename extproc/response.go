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

// ending reads from a response's headers and attributes how the call ends. A response without details counts as the
// upstream's. A response that the proxy passed on is the upstream's, too, whatever the flags: these may come from an
// earlier attempt.
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
			e.Status, _ = strconv.Atoi(text(v)) // 0, which means no status, if it is not a number
		case "content-type":
			e.GRPCResponse = wire.IsGRPC(text(v))
		case "grpc-status":
			e.GRPCStatus, e.StatusAlone = wire.GRPCStatusOf(text(v)), h.GetEndOfStream()
		}
	}
	if h.GetEndOfStream() && e.GRPCResponse && e.GRPCStatus == wire.NoGRPCStatus {
		e.GRPCStatus = wire.UnknownGRPCStatus // no trailers follow
	}
	return e
}

// reject returns the answer with which the proxy sends the fallback's response to the caller. If the caller speaks gRPC,
// Envoy turns it into a gRPC response. retryAfter is for the header of that name; 0: none.
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

// toFallback returns the answer with which the proxy sends a rejected call to its fallback: the call is marked as
// rejected, and routed again. It is nil if the fallback is a response that [reject] can give. If the fallback is a cached
// response, only the proxy knows whether it had one, so the call is also marked to be logged.
func toFallback(f *policy.Fallback) *extprocv3.ProcessingResponse {
	if f.Upstream == nil && f.Cached == nil {
		return nil
	}
	marks := map[string]*structpb.Value{wire.RejectedKey: structpb.NewBoolValue(true)}
	if f.Cached != nil {
		marks[wire.LoggedKey] = structpb.NewBoolValue(true)
	}
	return reroute(marks)
}

// reroute returns the answer with which the proxy routes a call again, by routes that match the marks.
func reroute(marks map[string]*structpb.Value) *extprocv3.ProcessingResponse {
	return &extprocv3.ProcessingResponse{
		Response: &extprocv3.ProcessingResponse_RequestHeaders{RequestHeaders: &extprocv3.HeadersResponse{
			Response: &extprocv3.CommonResponse{
				ClearRouteCache: true,
				// Envoy 1.40 routes again only if headers change, so this removes a header that no call has.
				HeaderMutation: &extprocv3.HeaderMutation{RemoveHeaders: []string{wire.NoHeader}},
			},
		}},
		DynamicMetadata: marksOf(marks),
	}
}

// marksOf returns the dynamic metadata with the given marks.
func marksOf(marks map[string]*structpb.Value) *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{
		wire.Namespace: structpb.NewStructValue(&structpb.Struct{Fields: marks}),
	}}
}

// admitted lets a call through that would get its fallback without a mark. It is shared, and must not be changed.
var admitted = reroute(map[string]*structpb.Value{wire.AdmittedKey: structpb.NewBoolValue(true)})

// admitting returns the answer that lets a call through. A probe is marked with its id for the log entry, which reports
// later how the call ended; probe is "" for other calls.
func admitting(needsMark bool, probe string) *extprocv3.ProcessingResponse {
	marks := map[string]*structpb.Value{wire.ProbeKey: structpb.NewStringValue(probe)}
	switch {
	case probe == "" && !needsMark:
		return continueRequestHeaders
	case probe == "":
		return admitted
	case !needsMark:
		return &extprocv3.ProcessingResponse{Response: continueRequestHeaders.Response, DynamicMetadata: marksOf(marks)}
	default:
		marks[wire.AdmittedKey] = structpb.NewBoolValue(true)
		return reroute(marks)
	}
}
