package e2e

import "fmt"

// ending is one way in which a call ends. Each row is played in both data paths.
type ending struct {
	name    string
	over    []dialect
	policy  string // fields of the policy's spec, with "; " between them, which replace the usual ones
	service string // script
	caller  string // script
	counts  string // the outcomes, see countsOf
}

// usual has the fields of every row's policy, unless the row replaces them. The breaker does not open, and a call is slow
// when it has taken a second.
var usual = []string{"timeout: 4s", "breaker: " + fmt.Sprintf(neverOpens, "1s")}

const (
	neverOpens = "{consecutiveFailures: 0, failureRateThreshold: 100%%, minimumNumberOfCalls: 1000000, slowCallDurationThreshold: %s, " +
		"slidingWindow: {type: TimeBased, duration: 1h}, waitDurationInOpenState: 1h}"
	headersIn2s = "timeout: 0s; responseHeaderTimeout: 2s"
	idleFor2s   = "timeout: 0s; idleTimeout: 2s"
)

// neverSlow has fields for rows whose calls must wait for one another.
var neverSlow = "timeout: 20s; breaker: " + fmt.Sprintf(neverOpens, "15s")

var (
	anyHTTP = []dialect{http1, http2}
	anyGRPC = []dialect{grpcs}
	all     = []dialect{http1, http2, grpcs}
	// breakable has the dialects in which a service can break off its response.
	breakable    = []dialect{http1, http2, bareGRPC}
	onlyHTTP1    = []dialect{http1}
	webSocket    = []dialect{http1}
	onlyBareGRPC = []dialect{bareGRPC}
)

// endings has the rows of the table in docs/adr/0017-endings.md. The type word explains the words of the scripts.
var endings = []ending{
	// A complete response counts by its status, a gRPC call by its grpc-status.
	{"200", all, "", "read 200 send:100", "", "success"},
	{"404", anyHTTP, "", "read 404 send:100", "", "success"},
	{"500", anyHTTP, "", "read 500 send:100", "", "failure"},
	{"503", anyHTTP, "", "read 503 send:100", "", "failure"},
	{"ends-by-closing", onlyHTTP1, "", "read unframed 200 send:100", "", "success"},
	{"ends-by-reset", onlyHTTP1, "", "read unframed 200 send:100 after:100ms reset", "", "success"}, // a caller cannot distinguish it from an end by closing
	{"status-ok", onlyBareGRPC, "", "read 200 send:100 grpc:0", "", "success"},
	{"status-ok-alone", onlyBareGRPC, "", "read grpc:0", "", "success"},
	{"status-not-found", anyGRPC, "", "read 200 send:100 grpc:5", "", "success"},
	{"status-not-found-alone", anyGRPC, "", "read grpc:5", "", "success"},
	{"status-unavailable", anyGRPC, "", "read 200 send:100 grpc:14", "", "failure"},
	{"status-unavailable-alone", anyGRPC, "", "read grpc:14", "", "failure"},
	{"status-deadline", anyGRPC, "", "read 200 send:100 grpc:4", "", "timeout"},
	{"status-deadline-alone", anyGRPC, "", "read grpc:4", "", "timeout"},
	{"failing-404", anyHTTP, "classify: {failure: {statusCodes: [\"404\"]}}", "read 404 send:100", "", "failure"},
	{"failing-not-found", anyGRPC, "classify: {failure: {grpcStatus: [NOT_FOUND]}}", "read 200 send:100 grpc:5", "", "failure"},
	{"no-status", onlyBareGRPC, "", "read 200 send:100", "", "failure"},
	{"page-200", onlyBareGRPC, "", "read page 200 send:100", "", "failure"},
	{"page-404", onlyBareGRPC, "", "read page 404 send:100", "", "success"},
	{"page-502", onlyBareGRPC, "", "read page 502 send:100", "", "failure"},

	// A call is slow by the time from the end of its request to the headers of its response.
	{"late-headers", all, "", "read after:1.5s 200 send:100", "", "success slow"},
	{"late-500", anyHTTP, "", "read after:1.5s 500 send:100", "", "failure slow"},
	{"late-unavailable", anyGRPC, "", "read after:1.5s grpc:14", "", "failure slow"},
	{"late-after-interim", onlyHTTP1, "", "read 100 after:1.5s 200 send:100", "", "success slow"},
	{"long-body", anyHTTP, "", "read 200 drip:1.5s", "", "success"},
	{"event-stream", anyHTTP, "", "read events 200 drip:1.5s", "", "success"},
	{"message-stream", anyGRPC, "", "read 200 drip:1.5s grpc:0", "", "success"},
	{"late-trailers", anyGRPC, "", "read 200 send:100 after:1.5s grpc:0", "", "success"},
	{"upload", all, "", "read 200 send:100", "upload:1.5s", "success"},
	{"upload-of-any-length", anyHTTP, "", "read 200 send:100", "upload:1.5s chunked", "success"},
	{"late-after-upload", all, "", "read after:1.5s 200 send:100", "upload:700ms", "success slow"},
	{"late-500-after-upload", anyHTTP, "", "read after:1.5s 500 send:100", "upload:700ms", "failure slow"},
	{"slow-reader", anyHTTP, "", "read 200 send:4MiB", "slowly:20ms", "success"},
	{"both-ways", anyGRPC, "", "200 drip:1.5s read grpc:0", "upload:1.5s", "success"},
	{"headers-before-the-request-ends", all, "", "200 read send:100", "upload:1.5s", "success"},
	{"late-headers-before-the-request-ends", all, "", "after:1.3s 200 read send:100", "upload:2s", "success"},
	{"413-before-the-request-ends", anyHTTP, "", "take 413 send:100", "upload:1.5s", "success"},
	{"503-before-the-request-ends", anyHTTP, "", "take 503 send:100", "upload:1.5s", "failure"},

	// An upgrade's request ends with its headers. After the headers of the response, every ending is a success.
	{"websocket-closed-by-caller", webSocket, "", "101 drip:9s", "upgrade leave:1.5s answered", "success"},
	{"websocket-closed-by-service", webSocket, "", "101 drip:1.5s close", "upgrade", "success"},
	{"websocket-reset-by-service", webSocket, "", "101 drip:1.5s reset", "upgrade", "success"},
	{"websocket-longer-than-the-timeout", webSocket, "timeout: 2s", "101 drip:2.5s close", "upgrade", "success"},
	{"late-websocket", webSocket, "", "after:1.5s 101 drip:100ms close", "upgrade", "success slow"},
	{"upgrade-refused-400", webSocket, "", "length:0 400", "upgrade", "success"},
	{"upgrade-refused-503", webSocket, "", "length:0 503", "upgrade", "failure"},
	{"upgrade-refused-late", webSocket, "", "after:1.5s length:0 503", "upgrade", "failure slow"},
	{"upgrade-hangs", webSocket, "", "hang", "upgrade leave:1.5s", "ignored slow"},
	{"upgrade-hangs-idle", webSocket, idleFor2s, "hang", "upgrade", "timeout slow"},

	// There are no headers of a response, and that is the service's fault.
	{"refused", all, "", "refused", "", "failure"},
	{"unreachable", onlyHTTP1, "", "unreachable", "", "failure slow"},
	{"no-healthy-endpoint", all, "", "unhealthy", "", "failure"},
	{"reset", breakable, "", "read reset", "", "failure"},
	{"closed", breakable, "", "read close", "", "failure"},
	{"late-reset", breakable, "", "read after:1.5s reset", "", "failure slow"},
	{"nonsense", onlyHTTP1, "", "read nonsense", "", "failure"},
	{"reset-in-an-upload", breakable, "", "take reset", "upload:1.5s", "failure"},
	{"closed-in-an-upload", breakable, "", "take close", "upload:1.5s", "failure"},
	{"late-reset-in-an-upload", breakable, "", "take after:1.3s reset", "upload:2s", "failure"},
	{"late-reset-after-upload", breakable, "", "read after:1.5s reset", "upload:700ms", "failure slow"},
	{"soon-reset-after-upload", breakable, "", "read after:100ms reset", "upload:1.2s", "failure"},

	// There are no headers of a response before a timeout of the policy.
	{"hang", all, "", "read hang", "", "timeout slow"},
	{"hang-after-upload", anyHTTP, "", "read hang", "upload:700ms", "timeout slow"},
	{"hang-after-upload-cut", anyGRPC, "", "read hang", "upload:700ms", "ignored slow"}, // the service had less time than the timeout
	{"hang-without-timeout", all, headersIn2s, "read hang", "", "timeout slow"},
	{"hang-until-the-shorter", all, "timeout: 9s; responseHeaderTimeout: 2s", "read hang", "", "timeout slow"},
	{"headers-in-time", anyHTTP, headersIn2s, "read 200 drip:2.5s", "", "success"},
	{"messages-in-time", anyGRPC, headersIn2s, "read 200 drip:2.5s", "", "success"},
	{"late-but-in-time-after-upload", all, "timeout: 0s; responseHeaderTimeout: 3s", "read after:1.5s 200", "upload:2s", "success slow"},
	{"idle", all, idleFor2s, "read hang", "", "timeout slow"},
	{"idle-after-upload", all, idleFor2s, "read hang", "upload:700ms", "timeout slow"},
	{"caller-idle-in-its-upload", all, idleFor2s, "read hang", "upload:200ms unfinished", "ignored"},
	{"upload-longer-than-the-timeout", anyHTTP, "timeout: 2s", "read 200", "upload:2.5s", "success"},
	{"requests-longer-than-the-timeout", anyGRPC, "timeout: 2s", "read 200", "upload:5s", "ignored"},

	// There are no headers of a response before the caller leaves.
	{"leaves-soon", all, "", "read hang", "leave:200ms", "ignored"},
	{"leaves-late", all, "", "read hang", "leave:1.5s", "ignored slow"},
	{"leaves-soon-ignored", all, "classify: {clientGone: Ignored}", "read hang", "leave:200ms", "ignored"},
	{"leaves-late-ignored", all, "classify: {clientGone: Ignored}", "read hang", "leave:1.5s", "ignored"},
	{"leaves-soon-failure", all, "classify: {clientGone: Failure}", "read hang", "leave:200ms", "failure"},
	{"leaves-late-failure", all, "classify: {clientGone: Failure}", "read hang", "leave:1.5s", "failure slow"},
	{"drops-its-connection", all, "", "read hang", "drop:1.5s", "ignored slow"},
	{"leaves-in-its-upload", all, "", "read hang", "upload:1.5s unfinished leave:0s", "ignored"},
	{"leaves-in-its-upload-failure", all, "classify: {clientGone: Failure}", "read hang", "upload:1.5s unfinished leave:0s", "ignored"},
	{"leaves-soon-after-upload", all, "", "read hang", "upload:1.2s leave:200ms", "ignored"},
	{"leaves-late-after-upload", all, "", "read hang", "upload:700ms leave:1.5s", "ignored slow"},
	{"hedged", all, "", "read after:200ms 200 | read hang", "hedged", "success + ignored"},

	// The deadline of a gRPC client.
	{"short-deadline", anyGRPC, "", "read after:300ms 200 send:100", "deadline:100ms", "ignored"},
	{"short-deadline-noticed", anyGRPC, "", "read hang", "deadline:100ms", "ignored"},
	{"short-deadline-failure", anyGRPC, "classify: {clientGone: Failure}", "read hang", "deadline:300ms", "failure"},
	{"deadline-met", anyGRPC, "", "read 200 send:100", "deadline:3s", "success"},
	{"deadline-passes-late", anyGRPC, "", "read hang", "deadline:1.5s", "ignored slow"},
	{"deadline-passes-unnoticed", onlyBareGRPC, "", "read hang", "deadline:1.5s", "ignored slow"},
	{"deadline-noticed-by-reset", onlyBareGRPC, "", "read after:1.42s reset", "deadline:1.5s", "ignored slow"}, // gRPC's server for Go does this
	{"deadline-noticed-by-reset-after-headers", onlyBareGRPC, "", "read 200 after:1.42s reset", "deadline:1.5s", "ignored"},
	{"deadline-noticed-by-status", onlyBareGRPC, "", "read after:1.42s grpc:4", "deadline:1.5s", "ignored slow"},
	{"deadline-noticed-by-status-after-headers", onlyBareGRPC, "", "read 200 after:1.42s grpc:4", "deadline:1.5s", "ignored"},
	{"deadline-in-an-upload", anyGRPC, "", "read hang", "upload:3s deadline:1.5s", "ignored"},
	{"deadline-after-headers", anyGRPC, "", "read 200 send:100 hang", "deadline:1.5s", "ignored"},
	{"deadline-after-the-timeout", anyGRPC, "", "read hang", "deadline:8s", "timeout slow"},
	{"deadline-after-the-header-timeout", anyGRPC, headersIn2s, "read hang", "deadline:8s", "timeout slow"},
	{"deadline-passes-late-ignored", anyGRPC, "classify: {clientGone: Ignored}", "read hang", "deadline:1.5s", "ignored"},
	{"deadline-without-timeout", anyGRPC, "timeout: 0s", "read hang", "deadline:1.5s", "ignored slow"},
	{"status-deadline-too-early", anyGRPC, "", "read grpc:4", "deadline:3s", "timeout"},
	{"reset-before-the-deadline", onlyBareGRPC, "", "read after:100ms reset", "deadline:3s", "failure"},

	// The service breaks off after the headers, which is a failure.
	{"body-reset", onlyHTTP1, "", "read length:1000 200 send:100 after:100ms reset", "", "failure"},
	{"body-closed", onlyHTTP1, "", "read length:1000 200 send:100 after:100ms close", "", "failure"},
	{"chunks-reset", breakable, "", "read 200 send:100 after:100ms reset", "", "failure"},
	{"chunks-closed", breakable, "", "read 200 send:100 after:100ms close", "", "failure"},
	{"headers-reset", breakable, "", "read 200 after:100ms reset", "", "failure"},
	{"headers-reset-at-once", breakable, "", "read 200 reset", "", "failure"},
	{"headers-closed-at-once", breakable, "", "read 200 close", "", "failure"},
	{"late-headers-reset", breakable, "", "read after:1.5s 200 after:100ms reset", "", "failure slow"},
	{"body-nonsense", onlyHTTP1, "", "read 200 send:100 after:100ms nonsense", "", "failure"},
	{"500-reset", anyHTTP, "", "read 500 send:100 after:100ms reset", "", "failure"},
	{"event-stream-reset", anyHTTP, "", "read events 200 drip:300ms reset", "", "failure"},
	{"reset-before-the-request-ends", breakable, "", "take 200 after:100ms reset", "upload:1.5s", "failure"},

	// The caller leaves after the headers.
	{"leaves-a-download", anyHTTP, "", "read 200 send:64KiB hang", "leave:300ms answered", "success"},
	{"leaves-a-late-download", anyHTTP, "", "read after:1.5s 200 send:100 hang", "leave:300ms answered", "success slow"},
	{"leaves-a-500", anyHTTP, "", "read 500 send:100 hang", "leave:300ms answered", "failure"},
	{"leaves-a-stream", anyGRPC, "", "read 200 send:100 hang", "leave:300ms answered", "ignored"},
	{"leaves-a-failing-404", anyHTTP, "classify: {failure: {statusCodes: [\"404\"]}}", "read 404 send:100 hang", "leave:300ms answered", "failure"},
	{"leaves-a-page", onlyBareGRPC, "", "read page 200 send:100 hang", "leave:1.5s", "failure"},
	{"leaves-before-the-request-ends", anyHTTP, "", "200 send:100 hang", "upload:200ms unfinished leave:1.5s answered", "success"},
	{"leaves-a-stream-before-the-request-ends", anyGRPC, "", "200 send:100 hang", "upload:200ms unfinished leave:1.5s answered", "ignored"},
	{"drops-a-download", anyHTTP, "", "read 200 send:64KiB hang", "drop:300ms answered", "success"},
	{"drops-a-stream", anyGRPC, "", "read 200 send:100 hang", "drop:300ms answered", "ignored"},
	{"leaves-an-event-stream", anyHTTP, "", "read events 200 drip:9s", "leave:1.5s answered", "success"},

	// A timeout of the policy ends the call after the headers.
	{"hang-after-headers", anyHTTP, "timeout: 2s", "read 200 hang", "", "timeout"},
	{"hang-in-a-body", anyHTTP, "timeout: 2s", "read 200 send:100 hang", "", "timeout"},
	{"hang-in-a-500", anyHTTP, "timeout: 2s", "read 500 send:100 hang", "", "failure"},
	{"event-stream-cut", anyHTTP, "timeout: 2s", "read events 200 drip:9s", "", "success"},
	{"slow-reader-cut", anyHTTP, "timeout: 2s", "read 200 send:64MiB", "slowly:20ms hurry:2.5s", "success"},
	{"stream-cut", anyGRPC, "timeout: 2s", "read 200 drip:9s", "", "ignored"},
	{"stream-hangs", anyGRPC, "timeout: 2s", "read 200 send:100 hang", "", "ignored"},
	{"event-stream-idle", anyHTTP, idleFor2s, "read events 200 send:100 hang", "", "timeout"},
	{"event-stream-not-idle", anyHTTP, idleFor2s, "read events 200 drip:2.5s", "", "success"},
	{"stream-idle", anyGRPC, idleFor2s, "read 200 send:100 hang", "", "timeout"},
	{"websocket-idle", webSocket, idleFor2s, "101 hang", "upgrade", "success"},
	{"download-idle", anyHTTP, idleFor2s, "read 200 send:2MiB hang", "", "success"},
	{"idle-before-the-request-ends", anyHTTP, idleFor2s, "200 send:100 hang", "upload:200ms unfinished", "success"},
	{"stream-idle-before-the-request-ends", anyGRPC, idleFor2s, "200 send:100 hang", "upload:200ms unfinished", "ignored"},

	// The proxy is at a limit, or the request is malformed.
	{"overflow", []dialect{http2, grpcs}, "connectionLimits: {maxRequests: 1}; " + neverSlow,
		"read after:2s 200 | read 200", "apart:1s", "success + ignored"},
	{"queue-overflow", onlyHTTP1, "connectionLimits: {maxConnections: 1, maxPendingRequests: 1}; " + neverSlow,
		"read after:3s 200 | read 200 | read 200", "apart:800ms", "success + success + ignored"},
	{"malformed", onlyHTTP1, "", "read 200", "upload:200ms malformed", "ignored"},
	{"malformed-after-headers", onlyHTTP1, "", "200 send:100 read", "upload:200ms malformed answered", "success"},
}
