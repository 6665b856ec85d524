package wire

// Flags are Envoy's response flags: bit 1<<n is field n of ResponseFlags
// (envoy/data/accesslog/v3/accesslog.proto).
type Flags uint64

// The flags that matter here. Each comment is the flag's name in Envoy's text logs.
const (
	NoHealthyUpstream     Flags = 1 << 2  // UH
	UpstreamTimeout       Flags = 1 << 3  // UT
	LocalReset            Flags = 1 << 4  // LR
	UpstreamReset         Flags = 1 << 5  // UR
	ConnectFailure        Flags = 1 << 6  // UF
	ConnectionTermination Flags = 1 << 7  // UC
	UpstreamOverflow      Flags = 1 << 8  // UO
	DownstreamTermination Flags = 1 << 15 // DC
	RetryLimitExceeded    Flags = 1 << 16 // URX
	StreamIdle            Flags = 1 << 17 // SI
	UpstreamMaxDuration   Flags = 1 << 20 // UMSDR
	DurationTimeout       Flags = 1 << 23 // DT
	UpstreamProtocolError Flags = 1 << 24 // UPE
	NoClusterFound        Flags = 1 << 25 // NC
	NameResolutionFailed  Flags = 1 << 27 // DF
	DownstreamReset       Flags = 1 << 28 // DR

	// Timeouts mean that a time limit of the policy passed.
	Timeouts = UpstreamTimeout | UpstreamMaxDuration | DurationTimeout
	// Cuts mean that the service broke off a call.
	Cuts = LocalReset | UpstreamReset | ConnectionTermination | UpstreamProtocolError
	// Failures mean that the proxy could get no response.
	Failures = Cuts | NoHealthyUpstream | ConnectFailure | RetryLimitExceeded | NameResolutionFailed
	// unsent mean that the proxy found no endpoint for the call, or must not send it.
	unsent = NoHealthyUpstream | UpstreamOverflow | NoClusterFound | NameResolutionFailed
	// CallerLeft means that the caller closed its connection or reset its stream.
	CallerLeft = DownstreamTermination | DownstreamReset
)

// Unsent reports whether a call without a response was sent to no endpoint. The flags include the earlier attempts' flags:
// if one attempt was sent and failed, and the next one found no endpoint, the result is false.
func (f Flags) Unsent() bool { return f&unsent != 0 && f&Failures&^unsent == 0 }

// FlagsOfAttribute reads [FlagsAttribute], in which bit 1<<n stands for field n+1 of the access
// log (StreamInfo::CoreResponseFlag of Envoy 1.40).
func FlagsOfAttribute(n uint64) Flags { return Flags(n << 1) }

// FailureFlags returns the names of the flags that show a failure even where the status of the call does not, in the
// order of their bits. A proxy logs every call with one of them.
func FailureFlags() []string {
	return []string{"UH", "UT", "LR", "UR", "UF", "UC", "URX", "SI", "UMSDR", "DT", "UPE", "DF"}
}

// CallerLeftFlags returns the names of the flags in [CallerLeft].
func CallerLeftFlags() []string { return []string{"DC", "DR"} }

// Details is the part of Envoy's response_code_details that matters here.
type Details uint8

// The details.
const (
	// Proxy is every other text: the proxy itself answered or ended the call.
	Proxy Details = iota
	// Passed is "via_upstream" or no text: the proxy passed on the service's response.
	Passed
	// MaxDuration is "max_duration_timeout": a gRPC client's own deadline passed, or the limit on gRPC calls
	// that have a timeout. Envoy sets no flag for it (measured with Envoy 1.40).
	MaxDuration
	// Copied is "lua_response": a script answered. There is one script, which serves copies of earlier
	// responses.
	Copied
)

// DetailsOf reads response_code_details.
func DetailsOf[T string | []byte](s T) Details {
	switch string(s) {
	case "", "via_upstream":
		return Passed
	case "max_duration_timeout":
		return MaxDuration
	case "lua_response":
		return Copied
	}
	return Proxy
}

// IsGRPC reports whether a content type is gRPC's.
func IsGRPC[T string | []byte](contentType T) bool {
	return begins(contentType, "application/grpc")
}

// IsEventStream reports whether a content type is text/event-stream, which server-sent events have.
func IsEventStream[T string | []byte](contentType T) bool {
	return begins(contentType, "text/event-stream")
}

func begins[T string | []byte](s T, prefix string) bool {
	return len(s) >= len(prefix) && string(s[:len(prefix)]) == prefix
}
