package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/telemetry/internal/broadcast"
)

const (
	maxFollowers = 64
	// maxFollowersEach is how many places one address may take, so that eight have to agree to keep
	// everybody else out. This host itself may take all.
	maxFollowersEach = 8
	followerBacklog  = 1024 // lines of some 500 bytes
	// heartbeat is how often a follower gets an empty line, so that both sides
	// learn when the other is gone.
	heartbeat = 10 * time.Second
	// stall is how long a follower may take to accept what is written to it.
	stall = 10 * time.Second
)

// movedJSON is one line of /transitions.
type movedJSON struct {
	Key     string `json:"key"`
	Service string `json:"service"`
	Route   string `json:"route"`
	*transitionJSON
	// Cause is what began the episode that this is part of, or ends.
	Cause *transitionJSON `json:"cause,omitempty"`
}

// tell gives a transition to all followers.
func (t *Telemetry) tell(tr *breaker.Transition) {
	if !t.followers.Followed() {
		return
	}
	line, err := json.Marshal(movedJSON{tr.Key.String(), tr.Key.Upstream, tr.Key.Route, t.describeTransition(tr), t.describeTransition(tr.Cause)})
	if err != nil {
		t.options.Log.Error("transition cannot be written as JSON", "error", err)
		return
	}
	t.followers.Send(append(line, '\n'))
}

// follow answers with transitions as they happen, until the client or the server
// ends it. A follower that was too slow learns how many it has lost, where they
// are missing; one that does not read at all is dropped.
func (t *Telemetry) follow(w http.ResponseWriter, r *http.Request) {
	from := peer(r)
	if ok, _ := t.following.take(from); !ok {
		w.Header().Set("Retry-After", "10")
		t.writeJSON(w, http.StatusTooManyRequests, problem{fmt.Sprintf("transitions cannot be followed: your address does %d times already, which is as often as one may", maxFollowersEach)})
		return
	}
	defer t.following.leave(from)
	reader, err := t.followers.Join()
	if err != nil {
		w.Header().Set("Retry-After", "10")
		t.writeJSON(w, http.StatusServiceUnavailable, problem{"transitions cannot be followed: " + err.Error()})
		return
	}
	defer reader.Leave()
	w.Header().Set("Content-Type", "application/x-ndjson")
	if r.Method == http.MethodHead {
		return
	}
	f := &follower{reader: reader, w: w, connection: http.NewResponseController(w)}
	// A request's deadline for reading goes on while it is answered, and would end it.
	if err := optional(f.connection.SetReadDeadline(time.Time{})); err != nil {
		return
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for err := f.write("\n"); err == nil; { // at once, so that the client knows it is heard
		select {
		case <-r.Context().Done():
			return
		case <-t.followers.Done():
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
// answers that end; here each piece has one.
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
