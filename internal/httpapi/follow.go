package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"breakwater.dev/api"
	"breakwater.dev/breaker"
	"breakwater.dev/internal/httpapi/broadcast"
)

const (
	maxFollowers = 64
	// maxFollowersEach is how many places one address may take, so that it takes eight addresses to keep
	// all others out. This host itself may take all places.
	maxFollowersEach = 8
	followerBacklog  = 1024 // lines of some 500 bytes
	// heartbeat is how often a follower gets an empty line, by which both sides
	// learn when the other one is gone.
	heartbeat = 10 * time.Second
	// stall is how long a follower may take to accept what is written to it.
	stall = 10 * time.Second
)

// ObserveTransition sends a transition to all followers. The transitions of one breaker have to come in their order.
func (a *API) ObserveTransition(t breaker.Transition) {
	if !a.followers.Followed() {
		return
	}
	line, err := json.Marshal(api.Event{
		Key: t.Key.String(), Service: t.Key.Upstream, Route: t.Key.Route,
		Transition: a.describeTransition(&t), Cause: a.describeTransition(t.Cause),
	})
	if err != nil {
		a.options.Log.Error("transition cannot be written as JSON", "error", err)
		return
	}
	a.followers.Send(append(line, '\n'))
}

// follow answers with transitions as they happen, until the client or the server
// ends it. A follower that was too slow learns how many it has lost, at the place where they
// are missing. A follower that does not read at all is dropped.
func (a *API) follow(w http.ResponseWriter, r *http.Request) {
	from := peer(r)
	if ok, _ := a.following.take(from); !ok {
		w.Header().Set("Retry-After", "10")
		a.refuse(w, http.StatusTooManyRequests, fmt.Sprintf("transitions cannot be followed: your address does %d times already, which is as often as one may", maxFollowersEach))
		return
	}
	defer a.following.leave(from)
	reader, err := a.followers.Join()
	if err != nil {
		w.Header().Set("Retry-After", "10")
		a.refuse(w, http.StatusServiceUnavailable, "transitions cannot be followed: "+err.Error())
		return
	}
	defer reader.Leave()
	w.Header().Set("Content-Type", "application/x-ndjson")
	if r.Method == http.MethodHead {
		return
	}
	f := &follower{reader: reader, w: w, connection: http.NewResponseController(w)}
	// A request's deadline for reading goes on while the request is answered, and would end it.
	if err := optional(f.connection.SetReadDeadline(time.Time{})); err != nil {
		return
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for err := f.write("\n"); err == nil; { // at once, so that the client knows that it follows
		select {
		case <-r.Context().Done():
			return
		case <-a.followers.Done():
			_ = f.write("") // fails only when the client has left
			return
		case <-beat.C:
			err = f.write("\n")
		case <-reader.Wake():
			err = f.write("")
		}
	}
}

// follower is one client of /transitions.
type follower struct {
	reader     *broadcast.Reader
	w          http.ResponseWriter
	connection *http.ResponseController
	buf        bytes.Buffer
}

// write sends all lines that wait, and then end. The server's own deadline is for
// answers that end; here each piece has a deadline of its own.
func (f *follower) write(end string) error {
	f.buf.Reset()
	lines, lost := f.reader.Take()
	for _, line := range lines {
		f.buf.Write(line)
	}
	if lost > 0 {
		fmt.Fprintf(&f.buf, "{\"lost\": %d}\n", lost)
	}
	f.buf.WriteString(end)
	if err := optional(f.connection.SetWriteDeadline(time.Now().Add(stall))); err != nil {
		return err
	}
	if _, err := f.w.Write(f.buf.Bytes()); err != nil {
		return err
	}
	return f.connection.Flush()
}

// optional drops the error of a connection that has no deadlines.
func optional(err error) error {
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}
