package link

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"breakwater.dev/membership"
	"breakwater.dev/peers/internal/peerspb"
)

// Message is a message from one replica to another.
type Message = peerspb.Message

const (
	// backlog is how many messages may wait for one replica.
	backlog = 4096
	// idle is how long nothing is sent to a replica until its connection is closed.
	idle = time.Minute
	// pause is how long nothing is sent after a stream has failed.
	pause = 100 * time.Millisecond
	// stale is how long a message may wait.
	stale = 500 * time.Millisecond
	// window is for flow control of the direction in which there are no messages. That it is fixed spares gRPC the pings by which it would look for one.
	window = 64 << 10
	// The metadata of a stream names its sender, and the id of its receiver, if that is known: another process may have been started at the address.
	idKey, addressKey, nameKey, toKey = "breakwater-replica-id", "breakwater-replica-address", "breakwater-replica-name", "breakwater-replica-to"
)

// Options connect the links of a replica with the rest of the process.
type Options struct {
	Self membership.Member
	// Credentials are for connections to other replicas.
	Credentials credentials.TransportCredentials
	// Admit returns an error if the other end of a stream is no replica.
	Admit func(context.Context) error
	// Receive gets each message of a router that is for this replica. The messages of one replica come one at a time, in their order.
	Receive func(from membership.Member, m *Message)
	// Membership gets each message of a source of members, in the same way; nil: they are dropped.
	Membership func(from membership.Member, message []byte)
	Log        *slog.Logger
}

// Links are the connections to other replicas. Make them with [New].
type Links struct {
	peerspb.UnimplementedPeersServer
	o       Options
	context context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex // guards what follows
	queues map[string]*queue
	closed bool
}

// queue has the messages that wait for one replica.
type queue struct {
	to       membership.Member
	messages chan queued
	last     time.Time // when the last message was queued, as far as serve knows
}

// queued is a message that waits. Its times were right when it was queued.
type queued struct {
	*Message
	at time.Time
}

// New returns links without connections. The caller calls [Links.Close] in the end.
func New(o Options) *Links {
	l := &Links{o: o, queues: map[string]*queue{}}
	l.context, l.cancel = context.WithCancel(metadata.AppendToOutgoingContext(context.Background(),
		idKey, o.Self.ID, addressKey, o.Self.Address, nameKey, o.Self.Name))
	return l
}

// Register adds the service that receives messages to a gRPC server.
func (l *Links) Register(s grpc.ServiceRegistrar) { peerspb.RegisterPeersServer(s, l) }

// Serves reports whether a method belongs to the service that receives messages.
func Serves(method string) bool { return method == peerspb.Peers_Tell_FullMethodName }

// SendMembership sends a message of a source of members. A receiver without an id is any replica that answers at its address, also
// this one.
func (l *Links) SendMembership(to membership.Member, message []byte) {
	l.Send(to, &Message{Kind: &peerspb.Message_Membership{Membership: message}})
}

// Send sends a message to a replica, or drops it. It never blocks.
func (l *Links) Send(to membership.Member, m *Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	q := l.queues[name(to)]
	if q == nil || q.to.Address != to.Address {
		q = &queue{to, make(chan queued, backlog), time.Now()}
		l.queues[name(to)] = q
		l.running.Go(func() { l.serve(q) })
	}
	select {
	case q.messages <- queued{m, time.Now()}:
	default: // the other one does not read
	}
}

// name returns the name of a receiver's queue.
func name(to membership.Member) string { return cmp.Or(to.ID, to.Address) }

// Close ends all connections.
func (l *Links) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.cancel()
	l.running.Wait()
}

// drop forgets a queue, so that the next message begins another one.
func (l *Links) drop(q *queue) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.queues[name(q.to)] == q {
		delete(l.queues, name(q.to))
	}
}

// serve sends the messages of a queue until there have been none for long.
func (l *Links) serve(q *queue) {
	defer l.drop(q)
	connection, err := grpc.NewClient("passthrough:///"+q.to.Address,
		grpc.WithTransportCredentials(l.o.Credentials),
		grpc.WithStaticStreamWindowSize(window), grpc.WithStaticConnWindowSize(window),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 2 * time.Second,
		}))
	if err != nil {
		l.o.Log.Error("another replica cannot be connected to", "replica", q.to.Name, "address", q.to.Address, "error", err.Error())
		return
	}
	defer func() { _ = connection.Close() }() // fails only if it is closed already
	client := peerspb.NewPeersClient(connection)
	for down := false; ; {
		began := time.Now()
		end := l.stream(client, q)
		if l.context.Err() != nil || errors.Is(end.err, errIdle) {
			return
		}
		lasted := time.Since(began) > pause
		down = down && !(end.admitted && lasted) // the next outage has a line of its own
		if errors.Is(end.err, io.EOF) && lasted {
			continue // the other one ends streams of old connections in order; see package aging
		}
		if !down {
			l.o.Log.Warn("another replica cannot be reached", "replica", q.to.Name, "address", q.to.Address, "error", end.err.Error())
			down = true
		}
		if !l.wait(q, pause) {
			return
		}
	}
}

// wait drops messages for a time. It reports false when the links are closed, or when there were no messages for long.
func (l *Links) wait(q *queue, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-l.context.Done():
			return false
		case m := <-q.messages:
			q.last = m.at
		case <-timer.C:
			return time.Since(q.last) < idle
		}
	}
}

var errIdle = errors.New("there is nothing to send")

// ending says how a stream has ended.
type ending struct {
	admitted bool // the other end had taken it
	err      error
}

// stream sends messages on one stream, until it breaks.
func (l *Links) stream(client peerspb.PeersClient, q *queue) ending {
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(l.context, toKey, q.to.ID))
	defer cancel()
	stream, err := client.Tell(ctx)
	if err != nil {
		return ending{err: err}
	}
	ended := make(chan ending, 1)
	l.running.Go(func() { // the other end says nothing on this stream but that it has taken it, and that it is over
		header, _ := stream.Header()
		_, err := stream.Recv()
		if err == nil {
			err = errors.New("it sends messages on the wrong stream")
		}
		ended <- ending{header != nil, err}
		cancel()
	})
	quiet := time.NewTimer(time.Until(q.last.Add(idle)))
	defer quiet.Stop()
	for {
		select {
		case e := <-ended:
			return e
		case <-quiet.C:
			return ending{err: errIdle}
		case m := <-q.messages:
			q.last = m.at
			quiet.Reset(idle)
			if time.Since(m.at) > stale {
				continue
			}
			if err := stream.Send(m.Message); err != nil {
				return <-ended // has the reason
			}
		}
	}
}

// Tell implements the service.
func (l *Links) Tell(stream grpc.BidiStreamingServer[Message, Message]) error {
	if err := l.o.Admit(stream.Context()); err != nil {
		return err
	}
	md, _ := metadata.FromIncomingContext(stream.Context())
	one := func(key string) string {
		if values := md.Get(key); len(values) == 1 && len(values[0]) <= 255 {
			return values[0]
		}
		return ""
	}
	from := membership.Member{ID: one(idKey), Address: one(addressKey), Name: one(nameKey)}
	if from.ID == "" || from.Address == "" {
		return status.Error(codes.InvalidArgument, "a replica has to say who it is")
	}
	if to := one(toKey); to != "" && to != l.o.Self.ID {
		return status.Error(codes.NotFound, "another replica is at this address now")
	}
	if err := stream.SendHeader(nil); err != nil { // says that the stream is taken
		return err
	}
	for {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if of, ok := m.GetKind().(*peerspb.Message_Membership); !ok {
			l.o.Receive(from, m)
		} else if l.o.Membership != nil {
			l.o.Membership(from, of.Membership)
		}
	}
}
