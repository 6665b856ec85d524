package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"breakwater.dev/membership"
	"breakwater.dev/peers/internal/peerspb"
)

// patience is how long tests wait at most for something that happens.
const patience = time.Minute

// text is a log that can be read while it is written.
type text struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *text) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *text) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// host is a replica that receives messages, and can be started and stopped.
type host struct {
	t       *testing.T
	links   *Links
	address string
	got     chan int64 // the numbers of the messages
	admit   func(context.Context) error
	stop    func()
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, got: make(chan int64, 10_000), admit: func(context.Context) error { return nil }}
	h.links = New(Options{
		Self: membership.Member{ID: "b", Address: "b:1"}, Credentials: insecure.NewCredentials(), Log: slog.New(slog.DiscardHandler),
		Admit:   func(ctx context.Context) error { return h.admit(ctx) },
		Receive: func(_ membership.Member, m *Message) { h.got <- m.GetBeat().GetSent() },
	})
	t.Cleanup(h.links.Close)
	return h
}

// listen opens the port, where it was before if it was open.
func (h *host) listen() net.Listener {
	h.t.Helper()
	at := h.address
	if at == "" {
		at = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		h.t.Fatal(err)
	}
	h.address = l.Addr().String()
	return l
}

// serve takes connections at a port until stop.
func (h *host) serve(l net.Listener) {
	server := grpc.NewServer()
	h.links.Register(server)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	h.stop = sync.OnceFunc(func() {
		server.Stop()
		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) { // it may not have begun
			h.t.Error(err)
		}
	})
	h.t.Cleanup(h.stop)
}

func numbered(n int64) *Message {
	return &Message{Kind: &peerspb.Message_Beat{Beat: &peerspb.Beat{Sent: n}}}
}

// newSender returns the links of a replica, and its log.
func newSender(t *testing.T) (*Links, *text) {
	t.Helper()
	log := &text{}
	l := New(Options{
		Self: membership.Member{ID: "a", Address: "a:1", Name: "name of a"}, Credentials: insecure.NewCredentials(), Log: slog.New(slog.NewTextHandler(log, nil)),
		Admit:   func(context.Context) error { return nil },
		Receive: func(from membership.Member, _ *Message) { t.Errorf("%s has sent a message", from.ID) },
	})
	t.Cleanup(l.Close)
	return l, log
}

// sendUntil sends messages to a host until a condition holds.
func sendUntil(t *testing.T, l *Links, h *host, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for n := int64(1); !holds(); n++ {
		l.Send(membership.Member{ID: "b", Address: h.address, Name: "name of b"}, numbered(n))
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("in vain: " + what)
		}
	}
}

// TestEachOutageIsLogged shows that a replica that is lost is in the log once, and once again when it is lost after it was reached.
func TestEachOutageIsLogged(t *testing.T) {
	from, log := newSender(t)
	h := newHost(t)
	h.serve(h.listen())
	outages := func() int {
		return strings.Count(log.String(), `msg="another replica cannot be reached" replica="name of b" address=`+h.address)
	}
	for outage := 1; outage <= 3; outage++ {
		var since time.Time
		sendUntil(t, from, h, "reach it for longer than a stream that has failed", func() bool {
			for ; len(h.got) > 0; <-h.got {
				if since.IsZero() {
					since = time.Now()
				}
			}
			return !since.IsZero() && time.Since(since) > 2*pause
		})
		if got := outages(); got != outage-1 {
			t.Fatalf("the log has %d outages while the replica is there, want %d:\n%s", got, outage-1, log)
		}
		h.stop()
		since = time.Now()
		sendUntil(t, from, h, "have the outage logged", func() bool { return outages() >= outage && time.Since(since) > 5*pause })
		if got := outages(); got != outage {
			t.Fatalf("the log has %d outages, want %d:\n%s", got, outage, log)
		}
		for len(h.got) > 0 {
			<-h.got
		}
		h.serve(h.listen())
	}
}

// TestRefusedReplicas shows that a stream ends when the other end is not admitted, that none of its messages counts, and that the sender logs the reason
// once, however often it tries.
func TestRefusedReplicas(t *testing.T) {
	from, log := newSender(t)
	h := newHost(t)
	var mu sync.Mutex
	tries := 0
	h.admit = func(context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		tries++
		return status.Error(codes.PermissionDenied, "it is not one of us")
	}
	h.serve(h.listen())
	sendUntil(t, from, h, "be refused three times", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return tries >= 4 && log.String() != ""
	})
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "it is not one of us") {
		t.Errorf("the log has:\n%s", got)
	}
	if len(h.got) > 0 {
		t.Errorf("message %d of a replica that is refused counts", <-h.got)
	}
}

// TestIdentities shows that a stream is refused unless it says once who sends it and where that one is.
func TestIdentities(t *testing.T) {
	h := newHost(t)
	h.serve(h.listen())
	connection, err := grpc.NewClient("passthrough:///"+h.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	long := strings.Repeat("x", 256)
	for _, tt := range []struct {
		name string
		says []string
		fine bool
	}{
		{"nothing", nil, false},
		{"no id", []string{addressKey, "x:1"}, false},
		{"an empty id", []string{idKey, "", addressKey, "x:1"}, false},
		{"two ids", []string{idKey, "x", idKey, "y", addressKey, "x:1"}, false},
		{"an id that is too long", []string{idKey, long, addressKey, "x:1"}, false},
		{"no address", []string{idKey, "x"}, false},
		{"an address that is too long", []string{idKey, "x", addressKey, long}, false},
		{"the longest id and no name", []string{idKey, long[1:], addressKey, "x:1"}, true},
		{"a name that is too long", []string{idKey, "x", addressKey, "x:1", nameKey, long}, true},
		{"this replica", []string{idKey, "x", addressKey, "x:1", toKey, "b"}, true},
		{"any replica", []string{idKey, "x", addressKey, "x:1", toKey, ""}, true},
	} {
		ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), tt.says...), patience)
		stream, err := peerspb.NewPeersClient(connection).Tell(ctx)
		if err != nil {
			t.Fatal(err)
		}
		_ = stream.Send(numbered(7)) // fails where the stream was refused already
		_ = stream.CloseSend()
		if _, err := stream.Recv(); (status.Code(err) == codes.InvalidArgument) == tt.fine {
			t.Errorf("%s: the stream ends with %v", tt.name, err)
		}
		if got := len(h.got); got != map[bool]int{true: 1}[tt.fine] {
			t.Errorf("%s: %d messages count", tt.name, got)
		}
		for len(h.got) > 0 {
			<-h.got
		}
		cancel()
	}
}

// TestMessagesForTheReplicaBefore shows that messages for a replica do not reach another one that was started at its address: their numbers and their
// echoes are about the one before. Messages for any replica at the address reach it.
func TestMessagesForTheReplicaBefore(t *testing.T) {
	from, log := newSender(t)
	h := newHost(t)
	h.serve(h.listen())
	n := int64(0)
	sendUntil(t, from, h, "get the replica's own messages while those for the one before are refused", func() bool {
		from.Send(membership.Member{ID: "the one before", Address: h.address}, numbered(-1))
		from.Send(membership.Member{Address: h.address}, numbered(0))
		for ; len(h.got) > 0; n++ {
			if got := <-h.got; got < 0 {
				t.Fatal("a message for the replica before has arrived")
			}
		}
		return n > 20 && strings.Contains(log.String(), "another replica is at this address now")
	})
	if got := strings.Count(log.String(), "\n"); got != 1 {
		t.Errorf("the log has %d lines, want one:\n%s", got, log)
	}
}

// TestStaleMessages shows that messages that have waited for long are dropped, since their times are no longer right, and that later ones arrive.
func TestStaleMessages(t *testing.T) {
	from, _ := newSender(t)
	h := newHost(t)
	l := h.listen() // connections are taken by the host's system, and nothing answers yet
	from.Send(membership.Member{ID: "b", Address: h.address}, numbered(-1))
	<-time.After(stale + 50*time.Millisecond)
	h.serve(l)
	first := int64(0)
	sendUntil(t, from, h, "get a message", func() bool {
		select {
		case first = <-h.got:
			return true
		default:
			return false
		}
	})
	if first < 0 {
		t.Error("a message has arrived that is too old")
	}
}

// TestClose shows that no goroutine is left when the links are closed, whatever the other replicas do, and that messages after that are dropped.
func TestClose(t *testing.T) {
	from, _ := newSender(t)
	h := newHost(t)
	h.serve(h.listen())
	silent := newHost(t)
	l := silent.listen()
	defer l.Close()
	sendUntil(t, from, h, "get a message", func() bool {
		from.Send(membership.Member{ID: "silent", Address: silent.address}, numbered(1))
		from.Send(membership.Member{ID: "nowhere", Address: "nowhere"}, numbered(1))
		return len(h.got) > 0
	})
	from.Close()
	from.Send(membership.Member{ID: "c", Address: h.address}, numbered(1))
	all := make([]byte, 1<<20)
	all = all[:runtime.Stack(all, true)]
	for _, name := range []string{"(*Links).serve", "(*Links).stream"} {
		if strings.Contains(string(all), name) {
			t.Errorf("a goroutine is left in %s:\n%s", name, all)
		}
	}
	from.Close() // does nothing
}

// TestQueues shows that sending never blocks and keeps a bounded number of messages, and that a replica has one queue for each address.
func TestQueues(t *testing.T) {
	from, _ := newSender(t)
	silent := newHost(t)
	l := silent.listen()
	defer l.Close()
	to := membership.Member{ID: "b", Address: silent.address}
	for n := range int64(2 * backlog) {
		from.Send(to, numbered(n))
	}
	queue := func() *queue {
		from.mu.Lock()
		defer from.mu.Unlock()
		if len(from.queues) != 1 {
			t.Fatalf("there are %d queues, want one", len(from.queues))
		}
		return from.queues["b"]
	}
	first := queue()
	if n := len(first.messages); n > backlog {
		t.Errorf("%d messages wait, want %d at most", n, backlog)
	}
	from.Send(to, numbered(1))
	if queue() != first {
		t.Error("a message begins another queue")
	}
	to.Address = "127.0.0.1:1"
	from.Send(to, numbered(1))
	second := queue()
	if second == first || second.to != to {
		t.Errorf("the replica is at another address, and its queue is for %v", second.to)
	}
	from.drop(first) // its goroutine ends later
	if queue() != second {
		t.Error("the queue of the old address takes the new one along")
	}
}

// TestQueuesOfTheDead shows that the queue of a replica that cannot be reached ends when nothing is sent to it for long, and not before.
func TestQueuesOfTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, log := newSender(t)
		queues := func() string {
			from.mu.Lock()
			defer from.mu.Unlock()
			return fmt.Sprint(len(from.queues))
		}
		for range 20 {
			from.Send(membership.Member{ID: "dead", Address: "no port"}, numbered(1))
			time.Sleep(idle / 5)
			if queues() != "1" {
				t.Fatal("the queue has ended, though messages are sent")
			}
		}
		time.Sleep(idle)
		synctest.Wait()
		if queues() != "0" {
			t.Error("the queue has not ended, though nothing is sent to it")
		}
		if got := strings.Count(log.String(), "cannot be reached"); got != 1 {
			t.Errorf("the log has %d lines about one outage:\n%s", got, log)
		}
		from.Send(membership.Member{ID: "dead", Address: "no port"}, numbered(1))
		if queues() != "1" {
			t.Error("the next message begins no queue")
		}
		from.Close()
	})
}
