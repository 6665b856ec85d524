package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// word is a word of a script. Tests of how calls end have scripts for both ends of a call. The words of a script are done one
// after the other. A word may have a value, as in "after:700ms".
//
// A service has these words:
//
//	read         reads the request to its end
//	take         reads only the first piece of the request
//	after:700ms  does nothing for this time, even if its caller leaves
//	200          sends the headers of a response with this status; a gRPC service sends the headers of a gRPC response
//	100          sends an interim response of HTTP/1.1
//	101          accepts an upgrade; the bytes after it are not HTTP
//	events       before the headers: the response is an event stream
//	page         before the headers: the response is a page of HTML, even for a gRPC request
//	length:1000  before the headers: the response has a content-length
//	unframed     before the headers: the response ends with its connection
//	send:4MiB    sends a part of the body with this size; a gRPC service sends it in messages
//	drip:1s      sends a little, again and again, for this time
//	grpc:14      ends with this grpc-status
//	reset        breaks off: resets the connection, or the stream of HTTP/2
//	close        breaks off: closes the connection
//	nonsense     breaks off: sends bytes that are not HTTP
//	hang         does nothing, and returns when its caller has left
//
// A script without one of the last five words ends its response well. A script can also be a single word for a service that
// cannot be reached: "refused", "unreachable" or "unhealthy". A row with several calls has a script for each of them, with "|"
// between them.
//
// A caller has these words:
//
//	upload:1s     sends the body of its request in pieces, for this time
//	chunked       the request has no content-length
//	unfinished    the request never ends
//	upgrade       requests a WebSocket
//	slowly:20ms   reads 64 KiB at a time, with a pause after each
//	hurry:10s     reads at full speed when the call has taken this time
//	deadline:25ms has this grpc-timeout
//	malformed     sends bytes that are not a chunk, after the pieces
//	leave:800ms   leaves this time after it has sent its request
//	drop:800ms    the same, and closes its connection
//	answered      does none of the last three before the headers of the response have come
//	hedged        makes its calls at once, and leaves the others when one has ended
//	apart:200ms   makes its calls one after the other, with this time between them
//
// A caller without words sends a request without a body, or one gRPC message, and waits for the end of the call.
type word struct{ name, value string }

const (
	pieceInterval = 50 * time.Millisecond // the time between two pieces
	piece         = 100                   // the size of a piece in bytes
)

// words returns the words of a script.
func words(script string) []word {
	var all []word
	for _, text := range strings.Fields(script) {
		name, value, _ := strings.Cut(text, ":")
		all = append(all, word{name, value})
	}
	return all
}

// duration returns the value as a duration. It panics if the value is none, because all scripts are in the tests.
func (w word) duration() time.Duration {
	d, err := time.ParseDuration(w.value)
	if err != nil {
		panic(fmt.Sprintf("the word %s: %v", w.name, err))
	}
	return d
}

// number returns a word that is a number, and panics if it is none.
func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(fmt.Sprintf("%q is not a word: %v", text, err))
	}
	return n
}

// size returns the value as a number of bytes: "100", "64KiB" or "4MiB".
func (w word) size() int {
	digits, unit := strings.TrimSuffix(w.value, "KiB"), 1<<10
	if digits == w.value {
		digits, unit = strings.TrimSuffix(w.value, "MiB"), 1<<20
	}
	if digits == w.value {
		unit = 1
	}
	return number(digits) * unit
}

// plan has the words of a caller's script.
type plan struct {
	upload, slowly, hurry, apart, deadline time.Duration // 0: the script does not have the word

	chunked, unfinished, malformed, upgrade, hedged bool

	leaves, drops, answered bool
	leave                   time.Duration // the time from the end of the request, or from the headers, until the caller leaves
}

// planOf reads a caller's script.
func planOf(script string) plan {
	var p plan
	flags := map[string]*bool{"chunked": &p.chunked, "unfinished": &p.unfinished, "malformed": &p.malformed,
		"upgrade": &p.upgrade, "hedged": &p.hedged, "answered": &p.answered}
	durations := map[string]*time.Duration{"upload": &p.upload, "deadline": &p.deadline, "leave": &p.leave,
		"drop": &p.leave, "slowly": &p.slowly, "hurry": &p.hurry, "apart": &p.apart}
	for _, w := range words(script) {
		switch flag, duration := flags[w.name], durations[w.name]; {
		case flag != nil:
			*flag = true
		case duration != nil:
			*duration = w.duration()
		default:
			panic(fmt.Sprintf("%q is not a word of a caller", w.name))
		}
		p.leaves = p.leaves || w.name == "leave" || w.name == "drop"
		p.drops = p.drops || w.name == "drop"
	}
	return p
}

// pieces returns the number of pieces of the upload.
func (p *plan) pieces() int { return int(p.upload / pieceInterval) }

// pause waits for d. It reports false if done was closed before.
func pause(d time.Duration, done <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-done:
		return false
	}
}
