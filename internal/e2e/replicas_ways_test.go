package e2e

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// barrier keeps what goes along a way while it is shut, as a network does that drops all packets for a time.
type barrier struct {
	mu   sync.Mutex
	shut chan struct{} // closed when the way is opened again; nil: it is open
}

func (b *barrier) set(shut bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case shut && b.shut == nil:
		b.shut = make(chan struct{})
	case !shut && b.shut != nil:
		close(b.shut)
		b.shut = nil
	}
}

// pass waits until the way is open.
func (b *barrier) pass(ctx context.Context) error {
	b.mu.Lock()
	shut := b.shut
	b.mu.Unlock()
	if shut != nil {
		select {
		case <-shut:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// storeWay is the way of one replica to the store.
type storeWay struct {
	barrier
	address string
}

func newStoreWay(t *testing.T, store string) *storeWay {
	t.Helper()
	l := listen(t, "127.0.0.1")
	w := &storeWay{address: l.Addr().String()}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { w.join(ctx, c, store) })
		}
	})
	t.Cleanup(func() {
		cancel()
		l.Close()
		all.Wait()
	})
	return w
}

// join connects a connection to the store until one side ends.
func (w *storeWay) join(ctx context.Context, c net.Conn, store string) {
	defer c.Close()
	if w.pass(ctx) != nil {
		return
	}
	to, err := net.Dial("tcp", store)
	if err != nil {
		return
	}
	defer to.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { c.Close(); to.Close() })()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{c, to}, {to, c}} {
		both.Go(func() {
			defer cancel()
			for buffer := make([]byte, 32<<10); ; {
				n, err := way[0].Read(buffer)
				if n > 0 && w.pass(ctx) == nil {
					_, err = way[1].Write(buffer[:n])
				}
				if err != nil || ctx.Err() != nil {
					return
				}
			}
		})
	}
	both.Wait()
}

// porter stands before the port of a replica for other replicas, and passes on the messages of those that are not barred.
type porter struct {
	address string
	replica *grpc.ClientConn

	mu   sync.Mutex
	from map[string]*barrier // by the address of the other replica
}

// newPorter starts a porter for the replica at an address.
func newPorter(t *testing.T, address string) *porter {
	t.Helper()
	replica, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(bytesCodec{})))
	if err != nil {
		t.Fatal(err)
	}
	l := listen(t, "127.0.0.1")
	p := &porter{address: l.Addr().String(), replica: replica, from: map[string]*barrier{}}
	s := grpc.NewServer(grpc.ForceServerCodec(bytesCodec{}), grpc.UnknownServiceHandler(p.forward))
	go s.Serve(l)
	t.Cleanup(func() {
		s.Stop()
		replica.Close()
	})
	return p
}

// before returns the barrier for the messages of the replica with an address.
func (p *porter) before(address string) *barrier {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.from[address] == nil {
		p.from[address] = &barrier{}
	}
	return p.from[address]
}

// forward passes on the messages of one stream. Replicas do not answer on a stream.
func (p *porter) forward(_ any, from grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(from)
	ctx, cancel := context.WithCancel(from.Context())
	defer cancel()
	md, _ := metadata.FromIncomingContext(ctx)
	var b *barrier
	if names := md.Get("breakwater-replica-address"); len(names) == 1 {
		b = p.before(names[0])
	} else {
		return errors.New("the metadata has no address")
	}
	if err := b.pass(ctx); err != nil {
		return err
	}
	to, err := p.replica.NewStream(metadata.NewOutgoingContext(ctx, md), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		var m []byte
		ended <- to.RecvMsg(&m)
		cancel()
	}()
	for {
		var m []byte
		if err := errors.Join(from.RecvMsg(&m), b.pass(ctx)); err != nil {
			cancel()
			<-ended
			return err
		}
		if err := to.SendMsg(&m); err != nil {
			if err = <-ended; err == nil {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
}
