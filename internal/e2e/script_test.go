package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Tests of how calls end have scripts for both ends of a call. A script is words, done one after
// the other; a word may have a value, as in "after:700ms".
//
// What a service does with a call:
//
//	read         reads the request to its end
//	take         reads the first piece of the request, and no more
//	after:700ms  does nothing for so long, whatever becomes of its caller
//	200          sends the headers of a response with this status; a gRPC service of a gRPC response
//	100          sends an interim response, of HTTP/1.1
//	101          accepts an upgrade; what follows is no HTTP
//	events       before the headers: the response is an event stream
//	page         before the headers: it is a page of HTML, whatever was asked for
//	length:1000  before the headers: it says how long it is
//	unframed     before the headers: it ends with its connection
//	send:4MiB    sends so much of the body; a gRPC service in messages
//	drip:1s      sends a little, again and again, for so long
//	grpc:14      ends with this grpc-status
//	reset        breaks off: the connection is reset, of HTTP/2 the stream
//	close        breaks off: the connection is closed
//	nonsense     breaks off, with something that is no HTTP
//	hang         does nothing more, and returns when its caller has gone
//
// A script that ends without one of the last five ends the response well. In place of a script
// there may be the one word of a service that is not there: "refused", "unreachable" or "unhealthy".
// Where there are several calls, there is a script for each, with "|" between them.
//
// What a caller does:
//
//	upload:1s     sends the body of its request in pieces, for so long
//	chunked       the request does not say how long it is
//	unfinished    the request never ends
//	upgrade       asks for a WebSocket
//	slowly:20ms   reads 64 KiB at a time, and pauses in between
//	hurry:10s     reads no longer slowly from so long after the call's beginning on
//	deadline:25ms has this grpc-timeout
//	malformed     sends what is no chunk, after the pieces
//	leave:800ms   gives up so long after it has sent what it had to send
//	drop:800ms    the same, by closing its connection
//	answered      does none of the last three before the headers of the response have come
//	hedged        makes its calls at once, and gives up the others when one has ended
//	apart:200ms   makes its calls one after the other, so far apart
//
// A caller without a word sends a request without a body, of gRPC one message, and waits for the end.
type word struct{ name, value string }

// beat is the time between two pieces of what is sent a little at a time, and piece is how
// much of it that is.
const (
	beat  = 50 * time.Millisecond
	piece = 100
)

func words(script string) []word {
	var all []word
	for _, text := range strings.Fields(script) {
		name, value, _ := strings.Cut(text, ":")
		all = append(all, word{name, value})
	}
	return all
}

// duration panics where the value is none: scripts are written in these tests.
func (w word) duration() time.Duration {
	d, err := time.ParseDuration(w.value)
	if err != nil {
		panic(fmt.Sprintf("the word %s: %v", w.name, err))
	}
	return d
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(fmt.Sprintf("%q is no word: %v", text, err))
	}
	return n
}

// size reads "100", "64KiB" or "4MiB".
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

// plan is what a caller does.
type plan struct {
	upload, slowly, hurry, apart, deadline time.Duration // 0: not

	chunked, unfinished, malformed, upgrade, hedged bool

	leaves, drops, answered bool
	leave                   time.Duration // after what it has to send, or after it was answered
}

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
			panic(fmt.Sprintf("%q is no word of a caller", w.name))
		}
		p.leaves = p.leaves || w.name == "leave" || w.name == "drop"
		p.drops = p.drops || w.name == "drop"
	}
	return p
}

// pieces is how many pieces an upload has.
func (p *plan) pieces() int { return int(p.upload / beat) }

// pause waits, and reports whether the time has passed before done was closed.
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
