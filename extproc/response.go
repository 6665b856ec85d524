package extproc

import (
	"strconv"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	"breakwater.dev/policy"
)

// response is what the processor reads from response headers.
type response struct {
	status     int    // 0 where it cannot be read
	grpc       bool   // content-type application/grpc
	grpcStatus string // of a response that consists of trailers only
	end        bool   // nothing follows the headers
	origin     origin
}

// origin is who made a response, as far as it matters.
type origin uint8

const (
	upstream origin = iota // the upstream: its status says what became of the call
	failed                 // the proxy: no answer was to be had from the upstream
	timedOut               // the proxy: the deadline passed
	ours                   // the proxy: its own limits or rules, or the client, ended the call
)

// Bits of Envoy's response.flags attribute: 1 << StreamInfo::CoreResponseFlag, as
// of Envoy 1.40. In brackets what access logs print for them.
const (
	noHealthyUpstream     = 1 << 1  // UH
	upstreamTimeout       = 1 << 2  // UT
	localReset            = 1 << 3  // LR
	upstreamReset         = 1 << 4  // UR
	connectFailure        = 1 << 5  // UF
	connectionTermination = 1 << 6  // UC
	retryLimitExceeded    = 1 << 15 // URX
	upstreamMaxDuration   = 1 << 19 // UMSDR
	durationTimeout       = 1 << 22 // DT
	upstreamProtocolError = 1 << 23 // UPE
	nameResolutionFailed  = 1 << 26 // DF
	timeoutFlags          = upstreamTimeout | upstreamMaxDuration | durationTimeout
	failureFlags          = noHealthyUpstream | localReset | upstreamReset | connectFailure |
		connectionTermination | retryLimitExceeded | upstreamProtocolError | nameResolutionFailed
)

// Values of Envoy's response.code_details.
const (
	viaUpstream = "via_upstream" // a response that it passed on
	// A gRPC client's own deadline passed. No flag tells (measured with Envoy 1.40).
	maxDurationTimeout = "max_duration_timeout"
)

// originOf reads the response attributes. What a proxy does not explain is taken
// as the upstream's. A response that was passed on is the upstream's whatever the
// flags say: they may tell of an earlier attempt. All that is neither
// the upstream's failure nor a timeout, such as Envoy's overflow (UO), a rate
// limit (RL) or a client that left (DC), is ours.
func originOf(attributes map[string]*structpb.Struct) origin {
	for _, a := range attributes {
		details := a.GetFields()["response.code_details"].GetStringValue()
		flags := uint64(a.GetFields()["response.flags"].GetNumberValue())
		switch {
		case details == "" || details == viaUpstream:
			return upstream
		case flags&timeoutFlags != 0 || details == maxDurationTimeout:
			return timedOut
		case flags&failureFlags != 0:
			return failed
		default:
			return ours
		}
	}
	return upstream
}

func responseOf(h *extprocv3.HttpHeaders, attributes map[string]*structpb.Struct) response {
	r := response{end: h.GetEndOfStream(), origin: originOf(attributes)}
	r.status, _ = strconv.Atoi(value(h.GetHeaders(), ":status"))
	r.grpc = isGRPC(h)
	r.grpcStatus = value(h.GetHeaders(), "grpc-status")
	return r
}

func isGRPC(h *extprocv3.HttpHeaders) bool {
	return strings.HasPrefix(value(h.GetHeaders(), "content-type"), "application/grpc")
}

// grpcCode reads a grpc-status. One that is missing or no number is UNKNOWN, as
// gRPC's own clients have it.
func grpcCode(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return int(codes.Unknown)
	}
	return n
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
			Details:    "breakwater_open",
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
	marks := map[string]*structpb.Value{policy.RejectedKey: structpb.NewBoolValue(true)}
	if f.Cached != nil {
		marks[policy.LoggedKey] = structpb.NewBoolValue(true)
	}
	return &extprocv3.ProcessingResponse{
		Response: &extprocv3.ProcessingResponse_RequestHeaders{RequestHeaders: &extprocv3.HeadersResponse{
			Response: &extprocv3.CommonResponse{
				ClearRouteCache: true,
				// Envoy does so only where headers change (1.40), so one goes that no call has.
				HeaderMutation: &extprocv3.HeaderMutation{RemoveHeaders: []string{"x-breakwater-rejected"}},
			},
		}},
		DynamicMetadata: &structpb.Struct{Fields: map[string]*structpb.Value{
			policy.RejectedNamespace: structpb.NewStructValue(&structpb.Struct{Fields: marks}),
		}},
	}
}
