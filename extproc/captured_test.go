package extproc

import (
	"errors"
	"io"
	"testing"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"breakwater.dev/breaker"
)

// outcomes returns the counts of a breaker after one call with the named outcome.
func outcomes(t testing.TB, name string) breaker.Counts {
	t.Helper()
	c, ok := map[string]breaker.Counts{
		"success": {Requests: 1, Successes: 1},
		"failure": {Requests: 1, Failures: 1},
		"timeout": {Requests: 1, Failures: 1, Timeouts: 1},
		"ignored": {Requests: 1, Ignored: 1},
		"none":    {},
	}[name]
	if !ok {
		t.Fatalf("no outcome %q", name)
	}
	return c
}

// wantAnswers checks that every message got its own kind of answer, in order.
func wantAnswers(t testing.TB, asked []*extprocv3.ProcessingRequest, answers []*extprocv3.ProcessingResponse) {
	t.Helper()
	if len(answers) > len(asked) {
		t.Fatalf("%d answers to %d messages", len(answers), len(asked))
	}
	for i, a := range answers {
		matches := false
		switch a.GetResponse().(type) {
		case *extprocv3.ProcessingResponse_RequestHeaders:
			matches = asked[i].GetRequestHeaders() != nil
		case *extprocv3.ProcessingResponse_ImmediateResponse: // to a response only if a probe was sent to no endpoint
			matches = asked[i].GetRequestHeaders() != nil || asked[i].GetResponseHeaders() != nil
		case *extprocv3.ProcessingResponse_ResponseHeaders:
			matches = asked[i].GetResponseHeaders() != nil
		case *extprocv3.ProcessingResponse_ResponseTrailers:
			matches = asked[i].GetResponseTrailers() != nil
		}
		if !matches {
			t.Errorf("message %d, a %T, was answered with a %T", i, asked[i].GetRequest(), a.GetResponse())
		}
	}
}

// TestCapturedStreams shows that each stream captured from a real Envoy has the outcome that its file names.
func TestCapturedStreams(t *testing.T) {
	for _, c := range capturedStreams(t) {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, neverTrips)
			answers, err := r.run(c.upstream, c.allEvents()...)
			if err != nil {
				t.Errorf("error %v, want none: the end of a request is no error", err)
			}
			if len(answers) != len(c.messages) {
				t.Errorf("%d answers to %d messages", len(answers), len(c.messages))
			}
			wantAnswers(t, c.messages, answers)
			if got, want := r.status(c.upstream).Counts, outcomes(t, c.outcome); got != want {
				t.Errorf("counts %+v, want %+v", got, want)
			}
			if got := len(r.observed); got != 1 && c.outcome != "ignored" && c.outcome != "none" || got > 1 {
				t.Errorf("observed %v, want one time if the call has an outcome", r.observed)
			}
		})
	}
}

// TestStreamsThatBreakLeaveNoPermit shows that a probe's permit is resolved once, wherever and however its stream ends.
// The breaker allows one probe at a time, so a lost permit would reject the next call.
func TestStreamsThatBreakLeaveNoPermit(t *testing.T) {
	for _, c := range capturedStreams(t) {
		t.Run(c.name, func(t *testing.T) {
			for n := range len(c.messages) + 1 {
				for _, end := range []error{io.EOF, errCanceled, errUnavailable, io.ErrUnexpectedEOF} {
					want := end
					if end == io.EOF || end == errCanceled || n == len(c.messages) && c.ends == nil {
						want = nil // the request was over, or the server ended the stream first
					}
					r := newHalfOpenRig(t)
					if _, err := r.run(c.upstream, c.events(n, end)...); err != want {
						t.Errorf("after %d messages and %v: error %v, want %v", n, end, err, want)
					}
					r.wantResolved(c.upstream)
				}
				r := newHalfOpenRig(t)
				s := r.stream(c.upstream, c.events(len(c.messages), c.ends)...)
				s.failSend = n + 1
				if err := r.server.Process(s); n < len(c.messages) && !errors.Is(err, errUnavailable) {
					t.Errorf("error %v when answer %d could not be sent, want %v", err, n+1, errUnavailable)
				}
				r.wantResolved(c.upstream)
			}
		})
	}
}

// wantResolved checks that no permit of the breaker is held, and that each admitted call has exactly one outcome.
func (r *rig) wantResolved(upstream string) {
	r.t.Helper()
	if got := r.server.Counts().Streams; got != 0 {
		r.t.Errorf("%d streams are open, want none", got)
	}
	s := r.status(upstream)
	if s.ProbesInFlight != 0 {
		r.t.Errorf("%d probes in flight, want none", s.ProbesInFlight)
	}
	if c := s.Counts; c.Requests != c.Rejected+c.Successes+c.Failures+c.Ignored {
		r.t.Errorf("counts %+v, want one outcome for each admitted call", c)
	}
	if s.State != breaker.HalfOpen {
		return
	}
	permit, d := r.engine.Acquire(s.Key, r.now().Add(time.Second)) // after a probe that was sent to no endpoint, the next one waits
	if !d.Admitted {
		r.t.Error("the only probe's permit is lost")
	}
	permit.Done(breaker.Ignored, r.now())
}
