package link_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"breakwater.dev/membership"
	"breakwater.dev/peers/internal/peerspb"
	"breakwater.dev/peers/link"
)

// ending is a stream that is over after some messages.
type ending struct {
	grpc.ServerStream
	left int
}

func (e *ending) RecvMsg(m any) error {
	if e.left == 0 {
		return io.EOF
	}
	e.left--
	return e.ServerStream.RecvMsg(m)
}

// TestStreamsThatEndInOrder shows that a replica that ends its streams in order, as for old connections, still gets all messages
// that are sent again, and is not said to be unreachable.
func TestStreamsThatEndInOrder(t *testing.T) {
	var log lines
	logger := slog.New(slog.NewTextHandler(&log, nil))
	got, streams := make(chan int64, 1), atomic.Int64{}
	to := newLinks(membership.Member{ID: "b", Address: "b:1"}, logger, func(_ membership.Member, m *link.Message) { got <- m.GetBeat().GetSent() })
	defer to.Close()
	server := grpc.NewServer(grpc.StreamInterceptor(func(srv any, inner grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		streams.Add(1)
		<-time.After(150 * time.Millisecond) // shorter streams are failures
		return handler(srv, &ending{inner, 3})
	}))
	to.Register(server)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) }) // ends with Stop
	defer serving.Wait()
	defer server.Stop()
	from := newLinks(membership.Member{ID: "a", Address: "a:1"}, logger, nil)
	defer from.Close()

	deadline := time.After(time.Minute)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for number := int64(1); number <= 10; {
		select {
		case <-again.C:
			from.Send(membership.Member{ID: "b", Address: listener.Addr().String()}, &link.Message{Kind: &peerspb.Message_Beat{Beat: &peerspb.Beat{Sent: number}}})
		case n := <-got:
			if n == number {
				number++
			}
		case <-deadline:
			t.Fatalf("message %d has not come, in %d streams; the log:\n%s", number, streams.Load(), &log)
		}
	}
	if n := streams.Load(); n < 2 {
		t.Errorf("there was %d stream, want several", n)
	}
	if strings.Contains(log.String(), "cannot be reached") {
		t.Errorf("the end of a stream counts as a failure:\n%s", &log)
	}
}

func newLinks(self membership.Member, log *slog.Logger, receive func(membership.Member, *link.Message)) *link.Links {
	return link.New(link.Options{
		Self: self, Credentials: insecure.NewCredentials(), Receive: receive, Log: log,
		Admit: func(context.Context) error { return nil },
	})
}

// lines are a log that can be read while it is written.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
