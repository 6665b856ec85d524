package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Stream is the transitions of a control plane as they happen, from [Client.Follow] on.
type Stream struct {
	ctx   context.Context
	end   context.CancelCauseFunc
	body  io.ReadCloser
	lines *json.Decoder
	quiet time.Duration
	alive *time.Timer // ends the stream when it goes off
	text  json.RawMessage
}

// Follow returns the transitions from now on. The caller closes the stream, which also ends when ctx is over.
// A caller that wants the state of breakers too opens the stream first and asks for the breakers then, so that it misses no
// transition between the two.
func (c *Client) Follow(ctx context.Context) (*Stream, error) {
	ctx, end := context.WithCancelCause(ctx)
	slow := time.AfterFunc(c.options.Timeout, func() { end(context.DeadlineExceeded) })
	r, err := c.send(ctx, &request{method: http.MethodGet, path: "/transitions"})
	slow.Stop()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = c.unreachable(cause)
		}
		end(nil)
		return nil, err
	}
	return newStream(ctx, end, r.Body, c.options.Silence), nil
}

func newStream(ctx context.Context, end context.CancelCauseFunc, body io.ReadCloser, quiet time.Duration) *Stream {
	s := &Stream{ctx: ctx, end: end, body: body, quiet: quiet}
	s.lines = json.NewDecoder(signs{s})
	s.alive = time.AfterFunc(quiet, func() { end(ErrSilent) })
	s.alive.Stop() // it runs while Next waits for the server, and not while the caller is busy
	return s
}

// signs reads the body of a stream, and ends the stream when nothing comes for too long, not even a heartbeat.
type signs struct{ *Stream }

// Read implements [io.Reader].
func (s signs) Read(p []byte) (int, error) {
	s.alive.Reset(s.quiet)
	defer s.alive.Stop()
	return s.body.Read(p)
}

// Next waits for the next event. The error is [ErrSilent] where the stream gave no sign of life for too long, [io.EOF] where
// the control plane ended it, and [io.ErrUnexpectedEOF] where it did so in the middle of a line.
func (s *Stream) Next() (Event, error) {
	if err := s.lines.Decode(&s.text); err != nil {
		if s.ctx.Err() != nil {
			err = context.Cause(s.ctx)
		}
		return Event{}, err
	}
	e := Event{Transition: &Transition{}}
	if err := json.Unmarshal(s.text, &e); err != nil {
		return Event{}, fmt.Errorf("reading a transition: %w", err)
	}
	return e, nil
}

// JSON returns the text of the last event, with the fields that this version does not know. It is valid until the next call of Next.
func (s *Stream) JSON() json.RawMessage { return s.text }

// Close ends the stream. It may be called again.
func (s *Stream) Close() {
	s.alive.Stop()
	s.end(nil)
	s.body.Close()
}
