package wire

import (
	"strconv"
	"strings"
	"time"
)

// BreakerMetadata is the key in the gRPC metadata of an ext_proc stream whose value names the breaker of the request; see
// [breaker.Key.String].
const BreakerMetadata = "x-breakwater-breaker"

// AskingMetadata is in the gRPC metadata of an ext_proc stream whose call took [RouteAsking], which leads to the
// fallback. The call goes to the service only if the control plane's response marks it with [AdmittedKey] and makes the
// proxy route it again. So a call without a response from the control plane gets its fallback.
const AskingMetadata = "x-breakwater-asking"

// FallbackMetadata is in the gRPC metadata of an ext_proc stream if the proxy has [RouteRejected] for the call: when the
// control plane's response marks the call with [RejectedKey] and makes the proxy route it again, it goes to its fallback.
// With the routes of an earlier policy, such a call might go to the service.
const FallbackMetadata = "x-breakwater-fallback"

// Marks are dynamic metadata that the control plane gives to a call in a proxy.
const (
	// Namespace is the metadata namespace of all marks.
	Namespace = "breakwater"
	// RejectedKey is true for a rejected call whose fallback only the proxy can produce.
	RejectedKey = "rejected"
	// AdmittedKey is true for a call that may go to the service. A call of [RouteAsking] without it gets its fallback.
	AdmittedKey = "admitted"
	// LoggedKey is true for a call that must be logged, whatever its outcome is.
	LoggedKey = "logged"
	// ProbeKey has the id of a probe, as text; see [Probe] and [ProbeOf].
	ProbeKey = "probe"
)

// Probe returns the value of [ProbeKey] for a probe with the given id, which is not 0. process identifies the control
// plane's process that gave the permit, since other processes use the same ids for their own probes.
func Probe(process, id uint32) string {
	return strconv.FormatUint(uint64(process)<<32|uint64(id), 16)
}

// ProbeOf reads what [Probe] returned; the id is 0 for any other text.
func ProbeOf(text []byte) (process, id uint32) {
	n, err := strconv.ParseUint(string(text), 16, 64)
	if err != nil {
		return 0, 0
	}
	return uint32(n >> 32), uint32(n)
}

// TimesHeader is a header that a proxy adds to a response for ext_proc, and removes before the caller gets it; see
// [Times].
const TimesHeader = "x-breakwater-times"

// TimesFormat is the value of [TimesHeader] in the language of Envoy's formatter.
const TimesFormat = "%COMMON_DURATION(DS_RX_BEG:DS_RX_END:us)%/%COMMON_DURATION(DS_RX_BEG:US_RX_BEG:us)%"

// Times reads the value of [TimesHeader]: the time at which the request had ended, and the time at which the headers of
// the service's response came. Both count from the beginning of the call. They are negative if that has not happened, or
// if the value cannot be read.
func Times(s string) (requestEnd, headers time.Duration) {
	end, first, _ := strings.Cut(s, "/")
	return micros(end), micros(first)
}

func micros(s string) time.Duration {
	n, err := strconv.ParseUint(s, 10, 50)
	if err != nil {
		return -1
	}
	return time.Duration(n) * time.Microsecond
}

// The filter of ext_proc, under whose name Envoy files the attributes of every filter of that kind, and
// the attributes that a proxy sends with the headers of a request or a response.
const (
	ExtProcFilter    = "envoy.filters.http.ext_proc"
	NodeIDAttribute  = "xds.node.id" // sent with a request if each proxy has a breaker of its own
	DetailsAttribute = "response.code_details"
	FlagsAttribute   = "response.flags" // see [FlagsOfAttribute]
)

// RejectedDetails are the response_code_details of a call that the control plane has answered itself.
const RejectedDetails = "breakwater_open"

// NoHeader is a header that no request has. Envoy 1.40 routes a call again only if ext_proc changes the headers, so the
// control plane's response removes this one.
const NoHeader = "x-breakwater-routed"

// Websocket is the value of the header "upgrade" of requests that have no end.
const Websocket = "websocket"

// IsUpgrade reports whether a request with this value of the header "upgrade" has no end. Proxies let no
// other upgrade through.
func IsUpgrade[T string | []byte](upgrade T) bool {
	return len(upgrade) == len(Websocket) && strings.EqualFold(string(upgrade), Websocket)
}
