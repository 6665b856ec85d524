package wire

import (
	"strconv"
	"strings"
	"time"
)

// A proxy also logs requests that have not ended, so that calls that hang are seen before their timeout. It looks at each
// request every [RunningInterval], and logs it at most twice for each of [RunningWindows].
const (
	// RunningInterval is how often a proxy looks at a request that has not ended. It is a little more than half a second, so
	// that a proxy looks just after the usual thresholds, and not just before them.
	RunningInterval = 505 * time.Millisecond
	// RunningSpan is how long a request may be logged after a threshold, in whole milliseconds: for two looks, of which the second
	// makes up for a first one that a busy proxy had late, or that came before the service had had its time.
	RunningSpan = 2*RunningInterval - time.Millisecond
	// RunningWindows is how many windows the filter of a proxy's log has, each for the requests that have lasted for as long as it
	// says and have no response yet.
	RunningWindows = 4
	// UploadTime is how long the request of a probe may take to end before its probe gives its permit back.
	UploadTime = time.Second
)

// RunningTag is the custom tag of an entry of a proxy's log that has the value of [RunningFormat]; see [Running].
const RunningTag = "running"

// RunningFormat is the value of [RunningTag] in the language of Envoy's formatter. An entry that is written before the end of its
// request does not say otherwise when it was written (Envoy 1.40).
const RunningFormat = "%CONNECTION_ID%/%DURATION%"

// Running reads the value of [RunningTag]: the number that the proxy gave the connection of the caller, and how long the request
// had lasted when the entry was written, in whole milliseconds. ok is false if the value cannot be read.
func Running[T string | []byte](value T) (connection uint64, lasted time.Duration, ok bool) {
	id, ms, found := strings.Cut(string(value), "/")
	connection, badID := strconv.ParseUint(id, 10, 64)
	n, badMS := strconv.ParseUint(ms, 10, 40)
	if !found || badID != nil || badMS != nil {
		return 0, 0, false
	}
	return connection, time.Duration(n) * time.Millisecond, true
}
