package aging_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"breakwater.dev/internal/aging"
	"breakwater.dev/internal/guard"
	"breakwater.dev/internal/guard/guardtest"
)

const age = 10 * time.Minute

var errLeft = errors.New("the proxy has left")

// stream is a stream of a proxy that sends a message now and then.
type stream struct {
	grpc.ServerStream
	ctx   context.Context
	every time.Duration // between two messages; 0: none comes
}

func (s *stream) Context() context.Context { return s.ctx }

// RecvMsg waits for the next message, at most until the stream has ended.
func (s *stream) RecvMsg(any) error {
	var next <-chan time.Time
	if s.every > 0 {
		next = time.After(s.every)
	}
	select {
	case <-s.ctx.Done():
		return errLeft
	case <-next:
		return nil
	}
}

// outcome is the way in which a stream has ended.
type outcome struct {
	after   time.Duration // since it began
	err     error         // the stream's
	handler error         // the handler got it in place of a message
}

// serve serves a stream with the interceptor, until it ends, or the proxy leaves after a time.
func serve(ctx context.Context, s *stream, leaves time.Duration) (o outcome) {
	var end context.CancelFunc
	s.ctx, end = context.WithCancel(ctx)
	began, done := time.Now(), make(chan struct{})
	defer time.AfterFunc(leaves, end).Stop()
	o.err = aging.Interceptor(age)(nil, s,
		&grpc.StreamServerInfo{FullMethod: "long"}, func(_ any, inner grpc.ServerStream) error {
			defer close(done)
			for {
				if o.handler = inner.RecvMsg(nil); errors.Is(o.handler, io.EOF) {
					return nil
				} else if o.handler != nil {
					return o.handler
				}
			}
		})
	o.after = time.Since(began)
	end() // as gRPC does
	<-done
	return o
}

// TestLongStreamsEnd shows that a stream ends behind a message, in the time for it, and a quiet one soon after that.
func TestLongStreamsEnd(t *testing.T) {
	tests := []struct {
		name             string
		every            time.Duration // between two messages
		since            time.Duration // age of the connection when the stream begins
		leaves           time.Duration // when the proxy leaves
		least, most      time.Duration // until the stream ends
		handler, outcome error
	}{
		{"behind a message", 100 * time.Millisecond, 0, 24 * time.Hour, age + age/10, age + 3*age/10 + 100*time.Millisecond, io.EOF, nil},
		{"quiet", 0, 0, 24 * time.Hour, age + age/10 + time.Second, age + 3*age/10 + time.Second, errLeft, nil},
		{"of a connection that is old already", 100 * time.Millisecond, 2 * age, 24 * time.Hour, age / 10, 3*age/10 + 100*time.Millisecond, io.EOF, nil},
		{"of a connection that is half as old", 100 * time.Millisecond, age / 2, 24 * time.Hour, age/2 + age/10, age/2 + 3*age/10 + 100*time.Millisecond, io.EOF, nil},
		{"of a proxy that leaves", time.Second, 0, age, age, age, errLeft, errLeft},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for range 50 { // the time is random
				synctest.Test(t, func(t *testing.T) {
					ctx := guardtest.Connect(t, guard.New(guard.Options{Log: slog.New(slog.DiscardHandler)}), "shop").Context(t.Context())
					<-time.After(tt.since)
					o := serve(ctx, &stream{every: tt.every}, tt.leaves)
					if o.after < tt.least || o.after > tt.most || !errors.Is(o.handler, tt.handler) || !errors.Is(o.err, tt.outcome) {
						t.Errorf("it ended after %s with %v, and its handler with %v; want that after %s to %s with %v and %v",
							o.after, o.err, o.handler, tt.least, tt.most, tt.outcome, tt.handler)
					}
				})
			}
		})
	}
}

// TestStreamsOfAConnectionSpread shows that streams of one connection end at different times.
func TestStreamsOfAConnectionSpread(t *testing.T) {
	var first, last time.Duration
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			o := serve(t.Context(), &stream{every: time.Second}, 24*time.Hour)
			if first == 0 || o.after < first {
				first = o.after
			}
			last = max(last, o.after)
		})
	}
	if spread := last - first; spread < age/10 {
		t.Errorf("100 streams end within %s, want at least half of %s", spread, age/5)
	}
}
