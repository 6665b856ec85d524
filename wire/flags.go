package wire

// Flags are Envoy's response flags: bit 1<<n is the field with number n of ResponseFlags
// (envoy/data/accesslog/v3/accesslog.proto).
type Flags uint64

// The flags that matter. In brackets is what Envoy's text logs print for them.
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

	// Timeouts say that the policy's own time limit passed.
	Timeouts = UpstreamTimeout | UpstreamMaxDuration | DurationTimeout
	// Cuts say that the service broke off what it had begun.
	Cuts = LocalReset | UpstreamReset | ConnectionTermination | UpstreamProtocolError
	// Failures say that there was no answer to be had.
	Failures = Cuts | NoHealthyUpstream | ConnectFailure | RetryLimitExceeded | NameResolutionFailed
	// unsent say that the proxy had nobody to send the call to, or was not to send it.
	unsent = NoHealthyUpstream | UpstreamOverflow | NoClusterFound | NameResolutionFailed
	// CallerLeft says that the caller closed its connection or reset its stream.
	CallerLeft = DownstreamTermination | DownstreamReset
)

// Unsent tells whether a call that had no response was sent to nobody. Flags of earlier attempts
// are there too: of a call that failed and then found nobody to be sent to again, it says no.
func (f Flags) Unsent() bool { return f&unsent != 0 && f&Failures&^unsent == 0 }

// FlagsOfAttribute reads the attribute response.flags, which has bit 1<<n where the
// access log has the field n+1 (StreamInfo::CoreResponseFlag of Envoy 1.40).
func FlagsOfAttribute(n uint64) Flags { return Flags(n << 1) }

// FailureFlags are, in the order of their bits, the names of the flags that a call can have
// which failed although its status says otherwise. A proxy logs every such call.
func FailureFlags() []string {
	return []string{"UH", "UT", "LR", "UR", "UF", "UC", "URX", "SI", "UMSDR", "DT", "UPE", "DF"}
}

// CallerLeftFlags are the names of the flags in [CallerLeft].
func CallerLeftFlags() []string { return []string{"DC", "DR"} }

// Details is what matters of Envoy's response_code_details.
type Details uint8

// The details.
const (
	// Proxy is everything else: the proxy itself answered, or ended the call.
	Proxy Details = iota
	// Passed is "via_upstream", or nothing: the response is the service's, passed on.
	Passed
	// MaxDuration is "max_duration_timeout": a gRPC client's own deadline passed, or the
	// cap on gRPC calls that have a timeout. No flag says so (measured with Envoy 1.40).
	MaxDuration
	// Copied is "lua_response": a script answered. Package xds has one, which serves copies
	// of earlier responses.
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

// IsEventStream reports whether a content type is that of server-sent events.
func IsEventStream[T string | []byte](contentType T) bool {
	return begins(contentType, "text/event-stream")
}

func begins[T string | []byte](s T, prefix string) bool {
	return len(s) >= len(prefix) && string(s[:len(prefix)]) == prefix
}
